"""Tests of keys.registry: what memory knows after a refresh, and what the refresh costs."""

from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from keys import crypto
from keys.models import DeletedKey, KeysVersion, Secret, VirtualKey
from keys.registry import DatabaseDirectory, KeyRegistry, _changes_after

pytestmark = pytest.mark.django_db


@pytest.fixture
def registry():
    loaded = KeyRegistry()
    loaded.refresh()
    return loaded


def issue(**fields):
    key, secret = VirtualKey.objects.issue(**fields)
    return key, crypto.digest(secret)


def test_the_first_refresh_loads_all():
    digests = [issue()[1] for _ in range(3)]
    registry = KeyRegistry()
    assert not registry.is_loaded
    assert registry.refresh() == frozenset()
    assert all(registry.find(digest) for digest in digests)
    assert registry.is_loaded
    assert (len(registry), registry.version) == (3, KeysVersion.current())


def test_an_identity_has_what_decisions_need(registry):
    ends = timezone.now() + timedelta(hours=1)
    key, digest = issue(
        name="laptop",
        user_id="ann",
        models=["m", "n-*"],
        endpoint_classes=["inference"],
        max_parallel_requests=2,
        expires_at=ends,
        metadata={"tags": ["a", 5, "b"]},
    )
    registry.refresh()
    identity = registry.find(digest)
    assert (identity.key_id, identity.name, identity.user_id, identity.label) == (key.pk, "laptop", "ann", "laptop")
    assert (identity.models, identity.endpoint_classes) == (("m", "n-*"), {"inference"})
    assert (identity.party.limits.parallel, identity.expires_at) == (2, ends.timestamp())
    assert (identity.party.scope, identity.party.label) == (f"key:{key.pk}", "laptop")
    assert (identity.tags, identity.blocked) == (("a", "b"), False)
    assert (identity.secret_id, identity.masked) == (key.secrets.get().pk, key.masked)


def test_an_identity_has_what_routing_needs(registry):
    _, digest = issue(aliases={"fast": "m"}, allowed_upstreams=["gpu-*"], priority=-3, key_type="llm_api")
    registry.refresh()
    identity = registry.find(digest)
    assert (identity.aliases, identity.allowed_upstreams) == ({"fast": "m"}, ("gpu-*",))
    assert (identity.priority, identity.key_type) == (-3, "llm_api")
    assert identity.endpoint_classes == {"inference", "monitoring"}


def test_a_change_of_what_routing_needs_comes_with_the_next_refresh(registry):
    key, digest = issue()
    registry.refresh()
    assert (registry.find(digest).aliases, registry.find(digest).allowed_upstreams) == ({}, ())
    VirtualKey.objects.filter(pk=key.pk).update(aliases={"a": "b"}, allowed_upstreams=["*"], priority=1)
    registry.refresh()
    identity = registry.find(digest)
    assert (identity.aliases, identity.allowed_upstreams, identity.priority) == ({"a": "b"}, ("*",), 1)


def test_an_identity_cannot_be_changed(registry):
    _, digest = issue(aliases={"a": "b"})
    registry.refresh()
    with pytest.raises(TypeError):
        registry.find(digest).aliases["a"] = "c"
    assert hash(registry.find(digest)) == hash(DatabaseDirectory().find(digest))


@pytest.mark.parametrize("key_type", ["management", "read_only", "of tomorrow"])
def test_only_types_for_calls_may_call(registry, key_type):
    _, digest = issue(key_type=key_type, endpoint_classes=["inference", "server_control"])
    registry.refresh()
    assert registry.find(digest).endpoint_classes == frozenset()


@pytest.mark.parametrize("damage", [5, "text", [1], {"a": 1}])
def test_a_damaged_grant_grants_nothing(registry, damage):
    _, digest = issue(aliases=damage, allowed_upstreams=damage if damage != "text" else {"a": "*"})
    registry.refresh()
    assert (registry.find(digest).aliases, registry.find(digest).allowed_upstreams) == ({}, ())


def test_both_directories_find_the_same_identity(registry):
    key, first = issue(metadata={"tags": ["a"]})
    second = crypto.digest(key.rotate(timedelta(hours=1)))
    registry.refresh()
    for digest in (first, second):
        assert registry.find(digest) == DatabaseDirectory().find(digest) is not None
    assert DatabaseDirectory().find("0" * 64) is None


@pytest.mark.parametrize("metadata", [[], "text", {"tags": "a"}, {"tags": None}])
def test_a_damaged_row_stops_no_refresh_and_allows_no_model(registry, metadata):
    _, digest = issue(models={"m": 1}, metadata=metadata, endpoint_classes=None or [])
    registry.refresh()
    identity = registry.find(digest)
    assert (identity.models, identity.tags, identity.endpoint_classes) == (("",), (), frozenset())


def test_the_steady_state_costs_one_query(registry, django_assert_num_queries):
    with django_assert_num_queries(1):
        registry.refresh()


def test_a_change_costs_nine_queries_and_reads_only_what_changed(registry, django_assert_num_queries):
    issue()
    with django_assert_num_queries(9):  # version, rows, and what is gone, of four tables
        registry.refresh()
    assert len(registry) == 1


@pytest.mark.parametrize(
    "refuse",
    [
        lambda key: key.block(),
        lambda key: key.delete(),
        lambda key: VirtualKey.objects.all().delete(),
        lambda key: VirtualKey.objects.update(blocked=True),
        lambda key: VirtualKey.objects.update(expires_at=timezone.now()),
        lambda key: Secret.objects.all().delete(),
    ],
)
def test_a_refresh_tells_once_which_keys_are_refused_now(registry, refuse):
    key, _ = issue()
    issue()
    registry.refresh()
    key_id = key.pk
    refuse(key)
    assert key_id in registry.refresh()
    assert registry.refresh() == frozenset()


def test_a_deleted_key_is_forgotten(registry):
    key, digest = issue()
    registry.refresh()
    key.delete()
    registry.refresh()
    assert registry.find(digest) is None
    assert len(registry) == 0


def test_other_changes_refuse_nobody(registry):
    key, digest = issue()
    registry.refresh()
    key.user_id = "ann"
    key.save()
    key.rotate(timedelta(hours=1))
    assert registry.refresh() == frozenset()
    assert registry.find(digest).user_id == "ann"


def test_a_key_that_was_refused_already_is_not_told_again(registry):
    key, _ = issue(blocked=True)
    registry.refresh()
    key.delete()
    assert registry.refresh() == frozenset()


def test_a_rotated_secret_is_forgotten_and_an_overlapping_one_gets_its_end(registry):
    key, first = issue()
    second = crypto.digest(key.rotate(timedelta(hours=1)))
    registry.refresh()
    assert registry.find(first).secret_expires_at == pytest.approx(timezone.now().timestamp() + 3600, abs=60)
    assert registry.find(second).secret_expires_at is None
    key.rotate(timedelta(0))
    registry.refresh()
    assert registry.find(first) is registry.find(second) is None


def test_a_registry_that_slept_longer_than_tombstones_live_loads_all():
    now = [0.0]
    registry = KeyRegistry(clock=lambda: now[0])
    key, digest = issue()
    registry.refresh()
    key_id = key.pk
    key.delete()
    DeletedKey.objects.all().delete()
    now[0] = 13 * 3600
    assert registry.refresh() == {key_id}
    assert registry.find(digest) is None


def test_a_database_that_went_back_in_time_is_loaded_again(registry):
    _, digest = issue()
    registry.refresh()
    KeysVersion.objects.update(value=0)
    VirtualKey.objects.all().update_quietly(version=0)
    Secret.objects.all()._raw_delete("default")
    registry.refresh()
    assert registry.find(digest) is None
    assert registry.version == 0


def test_without_the_database_the_old_view_stays(registry, monkeypatch):
    _, digest = issue()
    registry.refresh()

    def refuse():
        raise OperationalError("away")

    monkeypatch.setattr(connection, "cursor", refuse)
    with pytest.raises(OperationalError):
        registry.refresh()
    assert registry.find(digest)


def test_a_slow_refresh_does_not_undo_a_newer_one(registry):
    key, digest = issue()
    registry.refresh()
    slow, now = registry._view, timezone.now().timestamp()
    outdated = _changes_after(slow.version - 1)
    key.block()
    registry.refresh()
    assert registry._apply(slow, outdated, slow.version, now) is None
    assert registry.find(digest).blocked


def test_a_refresh_that_was_overtaken_reads_again(registry, monkeypatch):
    _, digest = issue()
    apply, overtaken = registry._apply, iter([True, False])
    monkeypatch.setattr(registry, "_apply", lambda *args: None if next(overtaken) else apply(*args))
    registry.refresh()
    assert registry.find(digest)


def test_a_key_changed_many_times_is_read_once(registry):
    key, digest = issue()
    for name in "abc":
        key.name = name
        key.save()
    registry.refresh()
    assert registry.find(digest).name == "c"
