import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from html import escape

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone

from keys import admin_secrets
from keys.admin_forms import IssueForm
from keys.crypto import digest, is_well_formed
from keys.models import KeysVersion, VirtualKey
from tests.support.admin_forms import form_of, sent
from tests.support.admin_lists import listed
from tests.support.people import signed_in, undrawn

pytestmark = pytest.mark.django_db
LIST, ADD, ROTATE = "/admin/keys/virtualkey/", "/admin/keys/virtualkey/add/", "/admin/keys/virtualkey/rotate/"
NEW = {
    "name": "docs bot",
    "key_type": "default",
    "endpoint_classes": ["inference", "monitoring"],
    "priority": "0",
    "valid_for": "0",
}
SECRET = re.compile(r"sk-vgw-[0-9A-Za-z]{36}")


@pytest.fixture
def admin() -> Client:
    return signed_in()


def issue(name: str = "docs bot", **fields: object) -> VirtualKey:
    return VirtualKey.objects.issue(name=name, **fields)[0]


def page_of(key: VirtualKey, verb: str = "change") -> str:
    return f"{LIST}{key.pk}/{verb}/"


def messages_of(response) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def history_of(key: VirtualKey) -> list[str]:
    return [entry.get_change_message() for entry in LogEntry.objects.filter(object_id=key.pk).order_by("pk")]


def edited(key: VirtualKey, **fields: object) -> dict[str, object]:
    return {
        "name": key.name,
        "key_type": key.key_type,
        "priority": key.priority,
        "aliases": json.dumps(key.aliases),
        "allowed_upstreams": "\n".join(key.allowed_upstreams),
        "endpoint_classes": key.endpoint_classes,
        "expires_at": "",
        "metadata": "{}",
        **fields,
    }


def test_it_works(admin: Client) -> None:
    response = admin.post(ADD, NEW)
    key = VirtualKey.objects.get()
    secret = SECRET.search(response.content.decode())
    assert secret
    assert is_well_formed(secret[0])
    assert key.secret.digest == digest(secret[0])
    assert (key.name, key.created_by, key.expires_at, key.models) == ("docs bot", "ada", None, [])


def test_the_list_is_narrowed_by_its_filters_only(admin: Client) -> None:
    assert admin.get(f"{LIST}?state=blocked").status_code == 200
    assert admin.get(f"{LIST}?name__regex=(((").status_code == 400


def test_only_the_name_is_needed(admin: Client) -> None:
    response = undrawn(admin).post(ADD, {**NEW, "name": ""})
    assert response.context_data["errors"] == [["This field is required."]]
    assert not VirtualKey.objects.exists()


def test_everything_can_be_set(admin: Client) -> None:
    more = {"user_id": "ada", "models": "qwen-*\r\n\r\n llama ", "max_parallel_requests": "3", "valid_for": "86400"}
    routing = {"aliases": '{"fast": "llama"}', "allowed_upstreams": "gpu-*", "priority": "7", "key_type": "llm_api"}
    undrawn(admin).post(ADD, {**NEW, **more, **routing, "metadata": '{"tags": ["x"]}'})
    key = VirtualKey.objects.get()
    assert (key.aliases, key.allowed_upstreams) == ({"fast": "llama"}, ["gpu-*"])
    assert (key.priority, key.key_type) == (7, "llm_api")
    assert (key.user_id, key.models, key.max_parallel_requests) == ("ada", ["qwen-*", "llama"], 3)
    assert key.metadata == {"tags": ["x"]}
    assert timedelta(hours=23) < key.expires_at - timezone.now() < timedelta(hours=25)


def test_the_page_with_the_secret_is_stored_nowhere(admin: Client) -> None:
    response = admin.post(ADD, NEW)
    secret = SECRET.search(response.content.decode())[0]
    assert "no-store" in response["Cache-Control"]
    assert secret not in str(dict(admin.session)) + str(admin.cookies) + str(messages_of(response))
    assert secret not in admin.get(page_of(VirtualKey.objects.get())).content.decode()


def test_sending_the_form_again_issues_no_second_key(admin: Client) -> None:
    admin.post(ADD, NEW)
    again = admin.post(ADD, NEW)
    assert VirtualKey.objects.count() == 1
    assert not SECRET.search(again.content.decode())


def test_a_name_that_is_taken_meanwhile_is_told(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    issue()
    monkeypatch.setattr("keys.admin_secrets.IssueForm.validate_unique", lambda self: None)
    response = undrawn(admin).post(ADD, NEW)
    assert "already exists" in response.context_data["adminform"].form.errors["name"][0]


def test_issuing_is_in_the_history(admin: Client) -> None:
    undrawn(admin).post(ADD, NEW)
    assert history_of(VirtualKey.objects.get()) == ["Added."]


def test_issuing_needs_the_permission() -> None:
    viewer = signed_in("keys.view_virtualkey")
    assert viewer.get(ADD).status_code == viewer.post(ADD, NEW).status_code == 403
    assert not VirtualKey.objects.exists()


def test_the_list_tells_name_secret_owner_and_state(admin: Client) -> None:
    key = issue(user_id="ada@example.com")
    html = admin.get(LIST).content.decode()
    for told in ("docs bot", key.masked, "ada@example.com", "Active"):
        assert told in html


def test_the_list_and_the_page_tell_a_management_key(admin: Client) -> None:
    key = issue(key_type="management")
    issue("other")
    assert [found.pk for found in listed(VirtualKey, {"key_type": "management"}).result_list] == [key.pk]
    for page in (admin.get(LIST), admin.get(page_of(key))):
        assert '<span class="badge badge-warning" title="">Management</span>' in page.content.decode()


def test_a_management_key_needs_nothing_that_it_may_call(admin: Client) -> None:
    undrawn(admin).post(ADD, {**NEW, "key_type": "management", "endpoint_classes": []})
    assert VirtualKey.objects.get().key_type == "management"


def test_its_end_is_entered_in_utc_to_the_second(admin: Client) -> None:
    key = issue()
    admin.post(page_of(key), edited(key, expires_at="2099-12-31T23:59:30"))
    key.refresh_from_db()
    assert key.expires_at == datetime(2099, 12, 31, 23, 59, 30, tzinfo=UTC)
    assert 'value="2099-12-31T23:59:30"' in admin.get(page_of(key)).content.decode()


def test_an_emptied_priority_is_the_usual_one(admin: Client) -> None:
    key = issue(priority=7)
    admin.post(page_of(key), edited(key, priority=""))
    key.refresh_from_db()
    assert key.priority == 0


def test_the_empty_list_says_what_to_do(admin: Client) -> None:
    html = admin.get(LIST).content.decode()
    assert "No virtual key yet" in html
    assert ADD in html


@pytest.mark.parametrize("state", ["active", "blocked", "expired"])
def test_the_list_can_be_narrowed_to_a_state(state: str) -> None:
    past = timezone.now() - timedelta(days=1)
    issue("active")
    issue("blocked", blocked=True, expires_at=past)
    issue("expired", expires_at=past)
    found = listed(VirtualKey, {"state": state}).result_list
    assert [(key.name, key.state) for key in found] == [(state, state)]


def test_keys_are_found_by_name_owner_and_last_four() -> None:
    key = issue("translations", user_id="tom")
    issue("other")
    for words in ("transl", "tom", key.secret.last_four):
        assert [found.pk for found in listed(VirtualKey, {"q": words}).result_list] == [key.pk]


def test_a_search_without_a_find_offers_all_keys(admin: Client) -> None:
    issue()
    assert "No key matches" in admin.get(LIST, {"q": "nobody"}).content.decode()


def act(admin: Client, action: str, *keys: VirtualKey, **more: object):
    return admin.post(LIST, {"action": action, "_selected_action": [key.pk for key in keys], **more})


@pytest.mark.parametrize(("action", "blocked"), [("block", True), ("unblock", False)])
def test_keys_are_blocked_and_unblocked_in_bulk(admin: Client, action: str, blocked: bool) -> None:
    one, two = issue("one", blocked=not blocked), issue("two", blocked=blocked)
    before = KeysVersion.current()
    response = act(admin, action, one, two, post="yes")
    assert set(VirtualKey.objects.values_list("blocked", flat=True)) == {blocked}
    assert messages_of(response) == [f"{action.capitalize()}ed 1 key."]
    assert KeysVersion.current() > before
    assert (history_of(one), history_of(two)) == ([f"{action.capitalize()}ed."], [])


def test_a_key_is_blocked_and_unblocked_on_its_page(admin: Client) -> None:
    key = issue()
    assert admin.post(page_of(key, "block"), {"post": "yes"}).url == page_of(key)
    assert VirtualKey.objects.get().blocked
    admin.post(page_of(key, "unblock"))
    assert not VirtualKey.objects.get().blocked
    assert history_of(key) == ["Blocked.", "Unblocked."]


def test_a_button_is_no_link(admin: Client) -> None:
    """Whose session had ended comes back to its address by the log-in page."""
    key = issue()
    assert admin.get(page_of(key, "block")).url == page_of(key)
    assert admin.put(page_of(key, "block")).status_code == 405
    assert admin.get(f"{LIST}999999/block/").status_code == 404
    assert signed_in("keys.view_team", name="bob").get(page_of(key, "block")).status_code == 403
    assert not VirtualKey.objects.get().blocked


def test_a_button_needs_the_permission_and_the_key() -> None:
    key, viewer = issue(), signed_in("keys.view_virtualkey")
    assert viewer.post(page_of(key, "block")).status_code == 403
    assert signed_in(name="bob").post(f"{LIST}999999/block/").status_code == 404


def test_keys_are_deleted_in_bulk(admin: Client) -> None:
    one = issue("one")
    issue("two")
    before = KeysVersion.current()
    act(admin, "delete_selected", one, post="yes")
    assert list(VirtualKey.objects.values_list("name", flat=True)) == ["two"]
    assert KeysVersion.current() > before


@pytest.mark.parametrize(("names", "title"), [(["a"], "Delete 1 virtual key"), (["a", "b"], "Delete 2 virtual keys")])
def test_the_title_says_what_is_deleted_and_how_many(admin: Client, names: list[str], title: str) -> None:
    html = act(admin, "delete_selected", *map(issue, names)).content.decode()
    assert f"<title>{title} | " in html
    assert f"<h1>{title}</h1>" in html


def test_what_a_search_found_can_be_deleted(admin: Client) -> None:
    key = issue("one")
    selected = {"action": "delete_selected", "_selected_action": [key.pk], "post": "yes"}
    admin.post(f"{LIST}?q=one", selected)
    assert not VirtualKey.objects.exists()


def test_rotate_as_an_action_asks_for_the_overlap(admin: Client) -> None:
    one, two = issue("one"), issue("two")
    response = act(admin, "rotate", one, two)
    page = undrawn(admin).get(response.url)
    assert page.context_data["title"] == "Rotate 2 keys"
    assert set(page.context_data["form"].initial["secret"]) == {one.secret.pk, two.secret.pk}


def test_more_keys_than_a_page_of_secrets_holds_are_not_rotated(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_secrets, "MOST_ROTATED", 1)
    response = act(admin, "rotate", issue("one"), issue("two"))
    assert response.url == LIST
    assert messages_of(response) == ["Rotate at most 1 keys at once."]


def test_a_change_of_many_keys_takes_few_queries(
    admin: Client, django_assert_max_num_queries: Callable[..., AbstractContextManager[object]]
) -> None:
    keys = [issue(f"key {number}") for number in range(40)]
    with django_assert_max_num_queries(30):
        act(admin, "block", *keys, post="yes")
    assert all(history_of(key) == ["Blocked."] for key in keys)


def rotate(admin: Client, *secrets: int, overlap: int = 3600):
    return admin.post(ROTATE, {"secret": secrets, "overlap": overlap})


def test_rotating_shows_a_new_secret_and_keeps_the_old_for_the_overlap(admin: Client) -> None:
    key = issue()
    response = rotate(admin, key.secret.pk)
    new, old = key.secrets.order_by("-pk")
    assert new.digest == digest(SECRET.search(response.content.decode())[0])
    assert timedelta(minutes=59) < old.expires_at - timezone.now() <= timedelta(hours=1)
    assert "no-store" in response["Cache-Control"]
    assert history_of(key) == ["Rotated. Old secrets stop working: In 1 hour."]


def test_rotating_now_ends_the_old_secret(admin: Client) -> None:
    key = issue()
    rotate(undrawn(admin), key.secret.pk, overlap=0)
    assert key.secrets.count() == 1


def test_several_keys_show_all_their_secrets(admin: Client) -> None:
    response = rotate(admin, issue("one").secret.pk, issue("two").secret.pk)
    assert len(set(SECRET.findall(response.content.decode()))) == 2


@pytest.mark.parametrize("overlap", [0, 3600])
def test_sending_the_rotation_again_rotates_once(admin: Client, overlap: int) -> None:
    key, browser = issue(), undrawn(admin)
    shown = key.secret.pk
    rotate(browser, shown, overlap=overlap)
    newest = VirtualKey.objects.get().secret.pk
    again = rotate(browser, shown, overlap=overlap)
    assert (again.status_code, VirtualKey.objects.get().secret.pk) == (302, newest)
    assert "has been rotated meanwhile" in messages_of(again)[-1]


def test_rotating_needs_the_permission() -> None:
    viewer = signed_in("keys.view_virtualkey")
    assert viewer.get(ROTATE).status_code == rotate(viewer, issue().secret.pk).status_code == 403


@pytest.mark.parametrize("ids", ["", "999", "x,,²", "9" * 40])
def test_nothing_to_rotate_leads_back_to_the_list(admin: Client, ids: str) -> None:
    assert admin.get(ROTATE, {"ids": ids}).url == LIST


def test_a_change_is_saved_and_in_the_history(admin: Client) -> None:
    key = issue(models=["a"])
    admin.post(page_of(key), edited(key, models="b\nc*", max_parallel_requests=2))
    key.refresh_from_db()
    assert (key.models, key.max_parallel_requests) == (["b", "c*"], 2)
    assert history_of(key) == ["Changed Models and Calls at once."]


def test_saving_writes_only_what_was_edited(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    key = issue()
    written: list[object] = []
    save = VirtualKey.save

    def spy(self: VirtualKey, *args: object, **kwargs: object) -> None:
        written.append(kwargs.get("update_fields"))
        save(self, *args, **kwargs)

    monkeypatch.setattr(VirtualKey, "save", spy)
    admin.post(page_of(key), edited(key))
    admin.post(page_of(key), edited(key, user_id="tom"))
    assert written == [["user_id"]]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("metadata", "[]"),
        ("metadata", "{"),
        ("endpoint_classes", ["root"]),
        ("endpoint_classes", []),
        ("models", "x" * 256),
        ("aliases", "[]"),
        ("aliases", '{"fast": ""}'),
        ("aliases", '{"fast": "\\u0000"}'),
        ("allowed_upstreams", "x" * 256),
        ("priority", "101"),
        ("priority", "high"),
        ("key_type", "read_only"),
        ("models", "\n".join(map(str, range(1001)))),
    ],
)
def test_what_a_key_cannot_have_is_refused(field: str, value: object) -> None:
    key = VirtualKey(name="docs bot")
    assert field in form_of(key, edited(key, **{field: value})).errors


@pytest.mark.parametrize("page", ["issue", "change"])
def test_what_is_refused_is_told_and_given_back(admin: Client, page: str) -> None:
    key = issue("first", priority=7)
    at, fields = (page_of(key), edited(key)) if page == "change" else (ADD, NEW)
    html = admin.post(at, {**fields, "metadata": "{<", "priority": "8"}).content.decode()
    assert "errornote" in html
    assert "{&lt;</textarea>" in html
    assert VirtualKey.objects.get().priority == 7


@pytest.mark.parametrize("page", ["issue", "change"])
@pytest.mark.parametrize(
    "metadata",
    [
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"a": "\\u0000"}',
        '{"a": "\\ud800"}',
        f'{{"a": {"9" * 5000}}}',
        "[" * 100_000,
        f'{{"a": {"[" * 30}{"]" * 30}}}',
    ],
)
def test_metadata_that_a_database_cannot_keep_is_refused(page: str, metadata: str) -> None:
    key = VirtualKey(name="first")
    if page == "change":
        form = form_of(key, edited(key, metadata=metadata))
    else:
        form = IssueForm(sent({**NEW, "metadata": metadata}).POST)
    assert "metadata" in form.errors
    assert escape(metadata) in str(form["metadata"])


def test_empty_metadata_is_an_empty_object(admin: Client) -> None:
    key = issue(metadata={"tags": ["x"]})
    admin.post(page_of(key), edited(key, metadata=""))
    key.refresh_from_db()
    assert key.metadata == {}


def test_the_page_lists_all_secrets_masked(admin: Client) -> None:
    key = issue()
    key.rotate(timedelta(hours=1))
    html = admin.get(page_of(key)).content.decode()
    assert all(str(secret) in html for secret in key.secrets.all())
    assert not any(secret.digest in html for secret in key.secrets.all())


def test_a_key_that_is_gone_leads_to_the_overview(admin: Client) -> None:
    assert admin.get(f"{LIST}999/change/").url == "/admin/"


def test_viewers_see_a_key_and_no_buttons() -> None:
    html = signed_in("keys.view_virtualkey").get(page_of(issue())).content.decode()
    assert "/block/" not in html
    assert ROTATE not in html


def test_a_name_of_the_playground_is_its_own(admin: Client) -> None:
    key = issue("playground of ada 12345678")
    answer = admin.post(f"{LIST}add/", {"name": "Playground of ben", "endpoint_classes": ["inference"]})
    assert "are for keys that the playground makes" in answer.content.decode()
    assert "playground makes" not in admin.post(page_of(key), {"name": key.name}).content.decode()
    assert VirtualKey.objects.count() == 1


def test_what_is_only_shown_has_the_names_of_the_form() -> None:
    html = (
        signed_in("keys.view_virtualkey", "people.view_every_team").get(page_of(issue(rpm_limit=60))).content.decode()
    )
    assert "Calls a minute" in html
    assert "Rpm limit" not in html
    assert "Tpm limit" not in html


@pytest.mark.parametrize(("end", "is_warned"), [("2020-01-01T00:00", True), ("2099-01-01T00:00", False), ("", False)])
def test_an_end_that_is_over_is_saved_with_a_warning(admin: Client, end: str, is_warned: bool) -> None:
    key = issue(expires_at=timezone.now() + timedelta(days=1))
    response = admin.post(page_of(key), {**edited(key), "expires_at": end})
    assert response.status_code == 302
    assert any("this ends the key now" in words for words in messages_of(response)) == is_warned


def test_a_key_that_has_ended_is_renamed_without_a_warning(admin: Client) -> None:
    key = issue(expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    response = admin.post(page_of(key), {**edited(key), "name": "other", "expires_at": "2020-01-01T00:00"})
    assert not any("this ends the key now" in words for words in messages_of(response))
