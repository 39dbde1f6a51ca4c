import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.contrib.messages import get_messages
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext

from keys.models import EndUser, KeysVersion, Owner, Team, VirtualKey
from tests.support.admin_forms import form_of
from tests.support.admin_lists import listed
from tests.support.people import signed_in, undrawn

pytestmark = pytest.mark.django_db
KINDS = [(Team, "team_id"), (Owner, "user_id"), (EndUser, "end_user_id")]
HOLDERS = KINDS[:2]
EVERYTHING = {
    "alias": "Research",
    "rpm_limit": "60",
    "tpm_limit": "10000",
    "max_parallel_requests": "3",
    "max_budget": "5.25",
    "budget_duration": "1w",
    "soft_budget": "4",
    "token_budget": "1000000",
    "token_budget_duration": "1d",
    "budget_limits": "2 per 1h",
    "model_rpm_limit": "qwen-* = 6",
    "model_tpm_limit": "qwen-* = 600",
    "model_max_budget": "qwen-* = 1 per 1d",
    "shadow_limits": ["rpm_limit", "max_budget"],
    "models": "qwen-*\r\nllama",
    "metadata": '{"tags": ["x"]}',
}
STORED = {
    "alias": "Research",
    "rpm_limit": 60,
    "tpm_limit": 10_000,
    "max_parallel_requests": 3,
    "max_budget": Decimal("5.25"),
    "budget_duration": "1w",
    "soft_budget": Decimal(4),
    "token_budget": 1_000_000,
    "token_budget_duration": "1d",
    "budget_limits": [{"max_budget": 2, "budget_duration": "1h"}],
    "model_rpm_limit": {"qwen-*": 6},
    "model_tpm_limit": {"qwen-*": 600},
    "model_max_budget": {"qwen-*": {"budget_limit": 1, "time_period": "1d"}},
    "shadow_limits": ["rpm_limit", "max_budget"],
    "models": ["qwen-*", "llama"],
    "metadata": {"tags": ["x"]},
}


@pytest.fixture
def admin() -> Client:
    return signed_in()


def made(table: type[Any], ident: str = "research", **fields: object) -> Any:
    row = table(**{dict(KINDS)[table]: ident}, **fields)
    row.save()
    return row


def at(row: Model | type[Model], verb: str = "") -> str:
    place = f"{row.pk}/{verb}/" if isinstance(row, Model) else verb and f"{verb}/"
    return f"/admin/keys/{row._meta.model_name}/{place}"


def a_key(name: str = "k", **fields: object) -> VirtualKey:
    return VirtualKey.objects.issue(name=name, **fields)[0]


def errors_of(response: Any) -> dict[str, list[str]]:
    return dict(response.context["adminform"].form.errors)


def messages_of(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def history_of(row: Model) -> list[str]:
    entries = LogEntry.objects.filter(object_id=row.pk, content_type=ContentType.objects.get_for_model(row)).order_by(
        "pk"
    )
    return [entry.get_change_message() for entry in entries]


def text(response: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


# --- Add and change -------------------------------------------------------------------------------


@pytest.mark.parametrize(("table", "ident"), KINDS)
def test_everything_can_be_set(admin: Client, table: type[Any], ident: str) -> None:
    before = KeysVersion.current()
    admin.post(at(table, "add"), {**EVERYTHING, ident: "research"})
    row = table.objects.get()
    assert {name: getattr(row, name) for name in STORED} == STORED
    assert (row.public_id, row.created_by) == ("research", "ada")
    assert row.version > before
    assert history_of(row) == ["Added."]


@pytest.mark.parametrize(("table", "ident"), KINDS)
def test_a_change_is_saved_and_in_the_history(admin: Client, table: type[Any], ident: str) -> None:
    row = made(table, rpm_limit=5)
    before = KeysVersion.current()
    admin.post(at(row, "change"), {"rpm_limit": "6", "max_budget": "1", ident: "renamed"})
    row.refresh_from_db()
    assert (row.rpm_limit, row.max_budget, row.public_id) == (6, 1, "research")
    assert history_of(row) == ["Changed Calls a minute and Budget in US dollars."]
    assert row.version > before


@pytest.mark.parametrize(("table", "ident"), KINDS)
def test_saving_what_is_there_changes_nothing(admin: Client, table: type[Any], ident: str) -> None:
    row = made(table)
    table.objects.update(**STORED)
    admin.post(at(row, "change"), EVERYTHING)
    assert history_of(row) == ["No fields changed."]


@pytest.mark.parametrize(("table", "ident"), HOLDERS)
def test_an_id_is_made_up_when_it_is_left_empty(admin: Client, table: type[Any], ident: str) -> None:
    admin.post(at(table, "add"), {"alias": "Research"})
    assert len(table.objects.get().public_id) == 36


def test_an_end_user_needs_the_id_that_calls_name() -> None:
    assert form_of(EndUser, {"alias": "Bob"}).errors == {"end_user_id": ["This field is required."]}


@pytest.mark.parametrize(("table", "ident"), KINDS)
def test_an_id_that_is_taken_is_told(table: type[Any], ident: str) -> None:
    made(table)
    assert "already exists" in form_of(table, {ident: "research"}).errors[ident][0]


@pytest.mark.parametrize(("table", "ident"), KINDS)
def test_the_page_tells_what_is_refused_and_saves_nothing(admin: Client, table: type[Any], ident: str) -> None:
    row = made(table, rpm_limit=5)
    response = admin.post(at(row, "change"), {"rpm_limit": "-1"})
    assert list(errors_of(response)) == ["rpm_limit"]
    assert "Must be 0 or more" in text(response)
    assert list(errors_of(admin.post(at(table, "add"), {ident: "new", "rpm_limit": "-1"}))) == ["rpm_limit"]
    assert table.objects.get().rpm_limit == 5


@pytest.mark.parametrize(("table", "ident"), KINDS)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rpm_limit", "-1"),
        ("tpm_limit", "many"),
        ("max_parallel_requests", "9" * 5_000),
        ("max_budget", "NaN"),
        ("max_budget", "100000001"),
        ("soft_budget", "-0.01"),
        ("budget_duration", "1y"),
        ("token_budget", "9" * 20),
        ("token_budget_duration", "\0"),
        ("budget_limits", "2 per day"),
        ("model_rpm_limit", "qwen = \0"),
        ("model_tpm_limit", '{"qwen": 60}'),
        ("model_rpm_limit", f"{'x' * 256} = 1"),
        ("model_max_budget", "\n".join(f"m{number} = 1" for number in range(1_001))),
        ("shadow_limits", ["everything"]),
        ("models", "a\0b"),
        ("alias", "x" * 256),
        ("alias", "\0"),
        ("metadata", "[]"),
    ],
)
def test_what_nobody_can_have_is_refused_beside_its_field(
    table: type[Any], ident: str, field: str, value: object
) -> None:
    assert list(form_of(table(**{ident: "research"}), {field: value}).errors) == [field]


@pytest.mark.parametrize(("table", "ident"), KINDS)
def test_an_id_that_cannot_be_one_is_refused(table: type[Any], ident: str) -> None:
    for value in ("x" * 129, "a\0b"):
        assert list(form_of(table, {ident: value}).errors) == [ident]


def test_members_are_for_the_admins_own_use(admin: Client) -> None:
    team = made(Team)
    admin.post(at(team, "change"), {"members": "ada <ada@example.com>, admin\ntom"})
    team.refresh_from_db()
    assert [one["user_id"] for one in team.members] == ["ada", "tom"]
    assert "ada &lt;ada@example.com&gt;, admin" in admin.get(at(team, "change")).content.decode()


def test_an_owner_is_linked_to_a_person_by_hand(admin: Client) -> None:
    owner, people = made(Owner), get_user_model()._default_manager
    person = people.get(username="ada")
    admin.post(at(owner, "change"), {"login_id": person.pk})
    owner.refresh_from_db()
    assert owner.login_id == person.pk
    assert "log-in ada" in text(admin.get(at(owner, "change")))
    admin.post(at(owner, "change"), {"login_id": person.pk})
    assert history_of(owner) == ["Changed Log-in.", "No fields changed."]


@pytest.mark.parametrize("login", ["999", "x", "\0", "9" * 30])
def test_an_owner_is_linked_to_nobody_that_there_is_not(login: str) -> None:
    assert "login_id" in form_of(made(Owner), {"login_id": login}).errors


def test_a_person_is_one_owner_at_most() -> None:
    person = get_user_model()._default_manager.create(username="ada")
    made(Owner, "first", login_id=person.pk)
    assert "already exists" in form_of(made(Owner, "second"), {"login_id": person.pk}).errors["login_id"][0]


def test_an_e_mail_address_is_one_owners_at_most(admin: Client) -> None:
    made(Owner, "first", email="a@example.com")
    assert "email" in form_of(Owner, {"email": "a@example.com"}).errors
    admin.post(at(Owner, "add"), {"user_id": "second"})
    admin.post(at(Owner, "add"), {"user_id": "third"})
    assert Owner.objects.count() == 3


def test_what_few_need_is_folded_away_until_it_is_used(admin: Client) -> None:
    assert admin.get(at(Team, "add")).content.decode().count("<details><summary>") == 4
    team = made(Team, model_rpm_limit={"*": 1}, shadow_limits=["rpm_limit"])
    assert admin.get(at(team, "change")).content.decode().count("<details><summary>") == 2


def test_a_period_that_the_api_set_is_kept(admin: Client) -> None:
    team = made(Team, max_budget=1, budget_duration="5h")
    admin.post(at(team, "change"), {"max_budget": "2", "budget_duration": "5h"})
    team.refresh_from_db()
    assert (team.max_budget, team.budget_duration) == (2, "5h")


# --- Lists ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("table", "ident"), KINDS)
def test_the_list_tells_name_state_and_limits(admin: Client, table: type[Any], ident: str) -> None:
    assert "yet" in text(admin.get(at(table)))
    made(table, "tom", alias="Tommy", blocked=True, rpm_limit=60, max_budget=5)
    told = text(admin.get(at(table)))
    for words in ("Tommy", "tom", "Blocked", "60 calls a minute", "$0.00 of $5.00"):
        assert words in told


@pytest.mark.parametrize(("table", "ident"), KINDS)
def test_rows_are_found_by_name_and_state(admin: Client, table: type[Any], ident: str) -> None:
    made(table, "one", alias="First", blocked=True)
    made(table, "two")
    for query in ({"q": "first"}, {"q": "one"}, {"state": "blocked"}):
        assert [row.public_id for row in listed(table, query).result_list] == ["one"]
    assert "matches" in text(admin.get(at(table), {"q": "nobody"}))
    assert admin.get(at(table), {"metadata__contains": "x"}).status_code == 400


@pytest.mark.parametrize(("table", "ident"), KINDS)
def test_a_list_takes_as_many_queries_for_many_rows(admin: Client, table: type[Any], ident: str) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            admin.get(at(table))
        return len(captured)

    made(table, "first", max_budget=1)
    few = queries()
    for number in range(5):
        made(table, f"row-{number}", max_budget=1)
        a_key(f"key {number}", **({ident: f"row-{number}"} if table is not EndUser else {}))
    assert queries() == few


def test_a_list_has_the_number_of_keys_and_leads_to_them(admin: Client) -> None:
    made(Team)
    for name in ("one", "two"):
        a_key(name, team_id="research")
    a_key("three", team_id="other")
    assert '<a class="number" href="/admin/keys/virtualkey/?team_id=research">2</a>' in (
        admin.get(at(Team)).content.decode()
    )
    found = listed(VirtualKey, {"team_id": "research"}).result_list
    assert {key.name for key in found} == {"one", "two"}


@pytest.mark.parametrize("query", ["team_id=", "team_id=%00", "user_id=x%27", "team_id=a&team_id=b"])
def test_an_odd_filter_of_keys_is_no_failure(admin: Client, query: str) -> None:
    a_key()
    assert admin.get(f"{at(VirtualKey)}?{query}").status_code == 200


# --- Buttons --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("table", "ident"), KINDS)
def test_rows_are_blocked_and_unblocked(admin: Client, table: type[Any], ident: str) -> None:
    row = made(table)
    before = KeysVersion.current()
    response = admin.post(at(table), {"action": "block", "_selected_action": [row.pk], "post": "yes"})
    assert table.objects.get().blocked
    assert messages_of(response) == [f"Blocked 1 {table._meta.verbose_name}."]
    assert admin.post(at(row, "unblock")).url == at(row, "change")
    row.refresh_from_db()
    assert not row.blocked
    assert row.version > before
    assert history_of(row) == ["Blocked.", "Unblocked."]


@pytest.mark.parametrize(("table", "ident"), KINDS)
def test_viewers_see_a_row_and_change_nothing(table: type[Any], ident: str) -> None:
    row, name = made(table), table._meta.model_name
    viewer = signed_in(f"keys.view_{name}")
    html = viewer.get(at(row, "change")).content.decode()
    assert "/block/" not in html
    assert "reset_spend" not in html
    for verb in ("block", "unblock", "reset_spend", "delete", "change"):
        assert viewer.post(at(row, verb), {"post": "yes"}).status_code == 403
    assert viewer.post(at(table, "add"), {ident: "x"}).status_code == 403
    assert signed_in("auth.view_user", name="eve").get(at(table)).status_code == 403


@pytest.mark.parametrize("object_id", ["999", "9" * 30])
def test_a_row_that_is_gone_is_no_failure(admin: Client, object_id: str) -> None:
    assert admin.post(f"{at(Team)}{object_id}/block/").status_code == 404
    assert admin.get(f"{at(Team)}{object_id}/change/").status_code == 302


# --- Keys of a holder, and delete -----------------------------------------------------------------


@pytest.mark.parametrize(("table", "ident"), HOLDERS)
def test_a_page_lists_the_keys(admin: Client, monkeypatch: pytest.MonkeyPatch, table: type[Any], ident: str) -> None:
    monkeypatch.setattr("keys.admin_groups.SHOWN_KEYS", 2)
    row = made(table)
    for number in range(4):
        a_key(f"key {number}", **{ident: "research"})
    told = text(admin.get(at(row, "change")))
    assert "key 3" in told
    assert "All 4 keys" in told
    assert "key 0 " not in told
    assert "key 1 " not in told
    viewer = signed_in(f"keys.view_{table._meta.model_name}", name="eve")
    assert "key 3" not in text(viewer.get(at(row, "change")))


@pytest.mark.parametrize(("table", "ident"), HOLDERS)
def test_the_keys_of_a_deleted_holder_go_too_and_it_is_said_before(admin: Client, table: type[Any], ident: str) -> None:
    row, key, other = made(table), a_key("mine", **{ident: "research"}), a_key("other")
    before = KeysVersion.current()
    told = text(admin.get(at(row, "delete")))
    assert "1 key will be deleted too." in told
    assert "Virtual key: mine" in told
    admin.post(at(row, "delete"), {"post": "yes"})
    assert list(VirtualKey.objects.all()) == [other]
    assert not table.objects.exists()
    assert KeysVersion.current() > before
    assert history_of(key) == [f"Deleted with the {table._meta.verbose_name} research."]


def test_many_keys_are_not_all_named(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keys.admin_groups.LISTED_KEYS", 1)
    row = made(Team)
    for name in ("one", "two", "three"):
        a_key(name, team_id="research")
    assert "and 2 more virtual keys" in text(admin.get(at(row, "delete")))


def test_holders_are_deleted_in_bulk_with_their_keys(admin: Client) -> None:
    one, two = made(Team, "one"), made(Team, "two")
    key = a_key("mine", team_id="one")
    selected = {"action": "delete_selected", "_selected_action": [one.pk, two.pk]}
    assert "Virtual key: mine" in text(admin.post(at(Team), selected))
    admin.post(at(Team), {**selected, "post": "yes"})
    assert not Team.objects.exists()
    assert not VirtualKey.objects.exists()
    assert history_of(key) == ["Deleted with the team one."]


def test_who_may_not_delete_keys_may_not_delete_their_team() -> None:
    row = made(Team)
    half = signed_in("keys.view_team", "keys.delete_team")
    a_key(team_id="research")
    assert "your account doesn't have permission" in text(half.get(at(row, "delete"))).replace("&#x27;", "'")
    assert half.post(at(row, "delete"), {"post": "yes"}).status_code == 403
    VirtualKey.objects.all().delete()
    half.post(at(row, "delete"), {"post": "yes"})
    assert not Team.objects.exists()


def test_an_end_user_is_deleted_alone(admin: Client) -> None:
    row = made(EndUser)
    a_key(user_id="research")
    admin.post(at(row, "delete"), {"post": "yes"})
    assert VirtualKey.objects.count() == 1
    assert not EndUser.objects.exists()


# --- Keys and their holders -----------------------------------------------------------------------


def test_a_key_suggests_teams_and_owners(admin: Client) -> None:
    made(Team, alias="Research team")
    made(Owner, "ada", email="ada@example.com")
    html = admin.get(at(VirtualKey, "add")).content.decode()
    assert '<option value="research">Research team</option>' in html
    assert '<option value="ada">ada@example.com</option>' in html


def test_a_key_leads_to_its_team_and_owner(admin: Client) -> None:
    team, owner = made(Team, alias="Research team"), made(Owner, "tom")
    page = admin.get(at(a_key(team_id="research", user_id="tom"), "change")).content.decode()
    assert f'<a href="{at(team, "change")}">Research team</a>' in page
    assert f'<a href="{at(owner, "change")}">tom</a>' in page


def test_a_key_says_that_its_team_has_no_limits(admin: Client) -> None:
    assert "nobody has no limits of its own" in text(admin.get(at(a_key(team_id="nobody"), "change")))


def test_the_list_of_keys_names_their_holders(admin: Client) -> None:
    made(Team, alias="Research team")
    a_key(team_id="research", user_id="tom")
    assert "tom Research team" in text(admin.get(at(VirtualKey)))


@pytest.mark.parametrize("known", [True, False])
def test_a_team_that_there_is_not_is_told(admin: Client, known: bool) -> None:
    if known:
        made(Team)
    new = {"name": "bot", "key_type": "default", "endpoint_classes": ["inference"], "valid_for": "0"}
    page = admin.post(at(VirtualKey, "add"), {**new, "team_id": "research"})
    assert VirtualKey.objects.get().team_id == "research"
    assert ("There is no team “research” yet" in text(page)) is not known


def test_a_key_takes_every_limit(admin: Client) -> None:
    key = a_key()
    more = {"allowed_routes": "/v1/embeddings\nvllm_routes", "allowed_ips": "10.0.0.0/8", "team_id": "t"}
    kept = {"name": "k", "key_type": "default", "endpoint_classes": ["inference"], "priority": "0"}
    admin.post(at(key, "change"), {**EVERYTHING, **kept, **more, "expires_at": ""})
    key.refresh_from_db()
    assert {name: getattr(key, name) for name in STORED if name != "alias"} == {
        name: value for name, value in STORED.items() if name != "alias"
    }
    assert (key.allowed_routes, key.allowed_ips) == (["/v1/embeddings", "vllm_routes"], ["10.0.0.0/8"])
    assert key.team_id == "t"


@pytest.mark.parametrize(
    ("field", "value"),
    [("allowed_routes", "v1"), ("allowed_ips", "10.0.0/8"), ("team_id", "x" * 65), ("max_budget", "-1")],
)
def test_a_limit_that_a_key_cannot_have_is_refused_when_it_is_issued(admin: Client, field: str, value: str) -> None:
    new = {"name": "bot", "key_type": "default", "endpoint_classes": ["inference"], "valid_for": "0"}
    page = undrawn(admin).post(at(VirtualKey, "add"), {**new, field: value})
    assert list(page.context_data["adminform"].form.errors) == [field]
    assert not VirtualKey.objects.exists()


def test_writing_takes_few_queries(
    admin: Client, django_assert_max_num_queries: Callable[..., AbstractContextManager[object]]
) -> None:
    row = made(Team)
    with django_assert_max_num_queries(30):
        admin.post(at(row, "change"), EVERYTHING)


@pytest.mark.parametrize("table", [Team, VirtualKey])
def test_a_page_asks_for_the_models_once(admin: Client, table: type[Any]) -> None:
    row = made(Team) if table is Team else a_key()
    with CaptureQueriesContext(connection) as captured:
        admin.get(at(row, "change"))
    assert sum('FROM "upstreams_modelalias"' in query["sql"] for query in captured) == 1
