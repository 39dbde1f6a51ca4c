"""What is done to keys from their list and from their pages, each after a question where it hurts."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone

from keys import admin_revoking
from keys.models import KeysVersion, VirtualKey
from tests.support.people import signed_in

pytestmark = pytest.mark.django_db
LIST = "/admin/keys/virtualkey/"


@pytest.fixture
def admin() -> Client:
    return signed_in()


def issue(name: str = "docs bot", **fields: object) -> VirtualKey:
    return VirtualKey.objects.issue(name=name, **fields)[0]


def act(admin: Client, action: str, *keys: VirtualKey, **more: object):
    return admin.post(LIST, {"action": action, "_selected_action": [key.pk for key in keys], **more})


def history_of(key: VirtualKey) -> list[str]:
    return [entry.get_change_message() for entry in LogEntry.objects.filter(object_id=key.pk).order_by("pk")]


def told(response) -> str:
    return str(list(get_messages(response.wsgi_request))[-1])


def test_blocking_asks_first(admin: Client) -> None:
    key = issue()
    html = act(admin, "block", key).content.decode()
    assert "Block docs bot?" in html
    assert "running streams are cut" in html
    assert not VirtualKey.objects.get().blocked


def test_the_answer_carries_the_action_and_the_rows(admin: Client) -> None:
    one, two = issue("one"), issue("two")
    html = act(admin, "block", one, two).content.decode()
    assert "Block 2 keys?" in html
    for hidden in (("_selected_action", one.pk), ("_selected_action", two.pk), ("action", "block"), ("post", "yes")):
        assert '<input type="hidden" name="{}" value="{}">'.format(*hidden) in html


def test_all_that_a_search_found_is_meant_by_its_address(admin: Client) -> None:
    keys = [issue(f"found {number}") for number in range(3)]
    issue("other")
    sent = {"action": "block", "_selected_action": [keys[0].pk], "select_across": "1"}
    assert "Block 3 keys?" in admin.post(f"{LIST}?q=found", sent).content.decode()
    admin.post(f"{LIST}?q=found", {**sent, "post": "yes"})
    assert set(VirtualKey.objects.filter(blocked=True)) == set(keys)


@pytest.mark.parametrize("action", ["block", "kill", "extend"])
def test_a_page_asks_too_and_leads_back(admin: Client, action: str) -> None:
    key = issue(expires_at=timezone.now() + timedelta(days=1))
    before = KeysVersion.current()
    html = admin.post(f"{LIST}{key.pk}/{action}/").content.decode()
    assert 'href="../change/"' in html
    assert KeysVersion.current() == before
    assert admin.get(f"{LIST}{key.pk}/{action}/").url == f"{LIST}{key.pk}/change/"


@pytest.mark.parametrize("action", ["block", "unblock", "kill", "extend"])
def test_every_button_needs_the_permission(action: str) -> None:
    key, viewer = issue(), signed_in("keys.view_virtualkey")
    assert viewer.post(f"{LIST}{key.pk}/{action}/", {"post": "yes"}).status_code == 403
    act(viewer, action, key, post="yes")
    assert history_of(key) == []


# --- Extend --------------------------------------------------------------------------------------


def extend(admin: Client, *keys: VirtualKey, **answer: object):
    return act(admin, "extend", *keys, post="yes", **answer)


def test_keys_get_a_later_end(admin: Client) -> None:
    keys = [issue(name, expires_at=timezone.now() - timedelta(days=1)) for name in ("one", "two")]
    before = KeysVersion.current()
    assert told(extend(admin, *keys, until="30")) == "Extended 2 keys."
    ends = set(VirtualKey.objects.values_list("expires_at", flat=True))
    assert all(timedelta(days=29) < end - timezone.now() <= timedelta(days=30) for end in ends)
    assert KeysVersion.current() > before
    assert history_of(keys[0])[0].startswith("Extended. Expires: 20")


def test_keys_can_stop_expiring(admin: Client) -> None:
    key = issue(expires_at=timezone.now())
    extend(admin, key, until="never")
    assert VirtualKey.objects.get().expires_at is None
    assert history_of(key) == ["Extended. Expires: never."]


def test_a_day_counts_to_its_end(admin: Client) -> None:
    key = issue(expires_at=timezone.now())
    extend(admin, key, until="day", day="2099-12-31")
    assert VirtualKey.objects.get().expires_at == datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"until": "day"}, "Choose the day"),
        ({"until": "day", "day": "2020-01-01"}, "This day is over"),
        ({"until": "day", "day": "soon"}, "Enter a day, such as"),
        ({"until": "someday"}, "Select a valid choice"),
        ({}, "This field is required"),
    ],
)
def test_an_end_that_is_none_is_asked_for_again(admin: Client, answer: dict[str, str], words: str) -> None:
    key = issue(expires_at=timezone.now())
    assert words in extend(admin, key, **answer).content.decode()
    assert history_of(key) == []


def test_no_key_gets_an_earlier_end(admin: Client) -> None:
    never, later = issue("never"), issue("later", expires_at=timezone.now() + timedelta(days=60))
    response = extend(admin, never, later, until="30")
    assert told(response) == "Extended 0 keys. 2 keys would not have gained by it and are as before."
    assert history_of(never) == history_of(later) == []


# --- Kill ----------------------------------------------------------------------------------------


def test_killing_blocks_and_is_in_the_history(admin: Client) -> None:
    one, two = issue("one"), issue("two", blocked=True)
    before = KeysVersion.current()
    assert "leaked" in act(admin, "kill", one, two).content.decode()
    act(admin, "kill", one, two, post="yes")
    assert set(VirtualKey.objects.values_list("blocked", flat=True)) == {True}
    assert KeysVersion.current() > before
    assert history_of(one) == history_of(two) == ["Killed."]


def test_more_keys_than_an_address_holds_are_not_killed(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_revoking, "MOST_KILLED", 1)
    assert told(act(admin, "kill", issue("one"), issue("two"), post="yes")) == "Kill at most 1 keys at once."
    assert not VirtualKey.objects.filter(blocked=True).exists()
