"""Tests of keys.models: every write is seen by its version, and no plain secret is kept."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from keys import crypto
from keys.errors import NameTaken, SecretRefused, SecretTaken
from keys.models import DeletedKey, KeysVersion, Secret, VirtualKey

pytestmark = pytest.mark.django_db
MASTER = "sk-master-for-the-tests-only-0123456789"


def issue(**fields):
    return VirtualKey.objects.issue(**fields)[0]


def test_issue_works():
    key, plain = VirtualKey.objects.issue(name="laptop")
    secret = key.secrets.get()
    assert secret.digest == crypto.digest(plain)
    assert key.masked == crypto.redact(plain) == str(secret)
    assert key.endpoint_classes == ["inference", "monitoring"]
    assert key.state == "active"


def test_no_column_holds_the_plain_secret():
    _, plain = VirtualKey.objects.issue()
    row = [str(value) for value in (*VirtualKey.objects.values_list()[0], *Secret.objects.values_list()[0])]
    assert not any(plain[8:] in value for value in row)


def test_an_own_secret_is_accepted():
    key, plain = VirtualKey.objects.issue(secret="sk-from-elsewhere")
    assert plain == "sk-from-elsewhere"
    assert key.secrets.get().prefix == "sk-"


@pytest.mark.parametrize("secret", ["sk-short", "no-prefix-at-all-here", "sk-vgw-" + "a" * 36, "sk-with a blank in it"])
def test_an_own_secret_that_cannot_be_a_key_is_refused(secret):
    with pytest.raises(SecretRefused):
        VirtualKey.objects.issue(secret=secret)


def test_the_same_secret_is_not_issued_twice():
    issue(secret="sk-from-elsewhere")
    with pytest.raises(SecretTaken):
        issue(secret="sk-from-elsewhere")
    assert VirtualKey.objects.count() == 1


def test_the_master_key_is_not_issued_as_a_virtual_key():
    with pytest.raises(SecretTaken):
        issue(secret=MASTER)


def test_a_name_is_given_once_and_an_empty_one_is_none():
    issue(name="laptop")
    with pytest.raises(NameTaken):
        issue(name="laptop")
    assert [issue(name="").name, issue(name="").name] == [None, None]


@pytest.mark.parametrize(
    "write",
    [
        lambda key: key.save(),
        lambda key: key.block(),
        lambda key: key.unblock(),
        lambda key: key.rotate(timedelta(0)),
        lambda key: key.rotate(timedelta(hours=1)),
        lambda key: VirtualKey.objects.filter(pk=key.pk).update(blocked=True),
        lambda key: VirtualKey.objects.bulk_update([key], ["user_id"]),
        lambda key: key.secrets.get().save(),
        lambda key: key.secrets.update(expires_at=timezone.now()),
        lambda key: key.secrets.all().delete(),
        lambda key: key.secrets.get().delete(),
        lambda key: Secret.objects.bulk_create([Secret(key=key, digest="0" * 64, prefix="sk-", last_four="0000")]),
    ],
)
def test_a_write_gives_the_key_a_new_version(write):
    key = issue()
    before = KeysVersion.current()
    write(key)
    assert VirtualKey.objects.newer_than(before).get() == key
    assert KeysVersion.current() == VirtualKey.objects.get().version


def test_bulk_created_keys_carry_a_new_version():
    before = KeysVersion.current()
    VirtualKey.objects.bulk_create([VirtualKey(), VirtualKey()])
    assert VirtualKey.objects.newer_than(before).count() == 2


@pytest.mark.parametrize("delete", [lambda key: key.delete(), lambda key: VirtualKey.objects.all().delete()])
def test_a_deleted_key_leaves_a_tombstone_and_no_secret(delete):
    key = issue()
    key_id, before = key.pk, KeysVersion.current()
    delete(key)
    assert list(DeletedKey.objects.filter(version__gt=before).values_list("row_id", flat=True)) == [key_id]
    assert not Secret.objects.exists()


def test_tombstones_are_kept_for_a_day():
    first, second = issue(), issue()
    first.delete()
    DeletedKey.objects.update(deleted_at=timezone.now() - timedelta(hours=25))
    second_id = second.pk
    second.delete()
    assert list(DeletedKey.objects.values_list("row_id", flat=True)) == [second_id]


def test_last_use_is_quiet_and_never_goes_back():
    key, now = issue(), timezone.now()
    before = KeysVersion.current()
    VirtualKey.objects.touch([key.pk], now)
    VirtualKey.objects.touch([key.pk], now - timedelta(hours=1))
    Secret.objects.touch([key.secrets.get().pk], now)
    key.refresh_from_db()
    assert key.last_used_at == key.secrets.get().last_used_at == now
    assert KeysVersion.current() == before


def test_last_use_takes_more_ids_than_a_statement_has_parameters():
    VirtualKey.objects.touch(range(40_000), timezone.now())


def test_a_rotated_key_has_only_the_new_secret():
    key = issue()
    new = key.rotate(timedelta(0))
    assert list(key.secrets.values_list("digest", flat=True)) == [crypto.digest(new)]
    assert key.masked == crypto.redact(new)


def test_a_rotation_with_overlap_keeps_the_old_secret_for_a_while():
    key, plain = VirtualKey.objects.issue()
    new = key.rotate(timedelta(hours=1))
    old = key.secrets.get(digest=crypto.digest(plain))
    assert timedelta(minutes=59) < old.expires_at - timezone.now() <= timedelta(hours=1)
    assert key.secrets.get(digest=crypto.digest(new)).expires_at is None


def test_a_second_rotation_does_not_prolong_an_overlap_and_clears_what_is_over():
    key, plain = VirtualKey.objects.issue()
    key.rotate(timedelta(hours=1))
    key.rotate(timedelta(hours=9))
    first = key.secrets.get(digest=crypto.digest(plain))
    assert first.expires_at - timezone.now() <= timedelta(hours=1)
    key.secrets.filter(pk=first.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    key.rotate(timedelta(hours=1))
    assert not Secret.objects.filter(pk=first.pk).exists()


def test_a_management_key_has_no_classes_that_count():
    key = VirtualKey(endpoint_classes=["inference"])
    assert key.granted_classes == ["inference"]
    key.key_type = "management"
    assert key.granted_classes == []


def test_state_tells_blocked_before_expired():
    key = VirtualKey(expires_at=timezone.now() - timedelta(seconds=1))
    assert key.state == "expired"
    key.blocked = True
    assert key.state == "blocked"


def test_a_key_without_secret_or_name_still_has_a_text():
    assert str(VirtualKey()) == "sk-..."
    assert str(VirtualKey(name="laptop")) == "laptop"


def test_a_key_is_found_by_its_secret_or_its_digest():
    key, plain = VirtualKey.objects.issue()
    assert VirtualKey.objects.with_secret(plain).get() == key
    assert VirtualKey.objects.with_secret(crypto.digest(plain)).get() == key
    assert not VirtualKey.objects.with_secret("sk-of-nobody-at-all").exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"models": "m"},
        {"models": [""]},
        {"aliases": [1]},
        {"aliases": {"a": ""}},
        {"allowed_upstreams": "*"},
        {"allowed_upstreams": [""]},
        {"priority": 101},
        {"priority": -101},
        {"key_type": "read_only"},
        {"metadata": [1]},
        {"endpoint_classes": ["root"]},
        {"endpoint_classes": "x"},
    ],
)
def test_a_form_refuses_malformed_lists(fields):
    with pytest.raises(ValidationError):
        VirtualKey(**fields).full_clean()
