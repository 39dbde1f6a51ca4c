"""What who manages a team can do with its keys, and what they try in vain."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone

from keys.identity import INFERENCE, MONITORING, SERVER_CONTROL
from keys.models import Owner, Secret, Team, VirtualKey
from people.models import TeamManager
from people.roles import KEY_MANAGER
from tests.support.people import browser_of, signed_in, undrawn

pytestmark = pytest.mark.django_db
ADD = "/admin/keys/virtualkey/add/"
SERVED_BY_ALL = {"endpoint_classes": [INFERENCE, MONITORING], "key_type": "default", "metadata": "{}", "aliases": "{}"}


def browser(*teams: str) -> Client:
    ada = User.objects.create(username="ada", is_staff=True)
    ada.groups.add(Group.objects.get(name=KEY_MANAGER))
    for team_id in teams:
        TeamManager.objects.create(user=ada, team_id=team_id)
    return browser_of(ada)


def sender(*teams: str) -> Client:
    """Somebody who sends forms and looks at no page."""
    return undrawn(browser(*teams))


def form(**fields: object) -> dict[str, object]:
    return {**SERVED_BY_ALL, "valid_for": "0", "name": "dev", "team_id": "red", **fields}


def page_of(key: VirtualKey) -> str:
    return f"/admin/keys/virtualkey/{key.pk}/change/"


def text(answer) -> str:
    return answer.content.decode()


def told(answer) -> str:
    """What stands on top of the next page."""
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


def errors_of(answer) -> str:
    """What the page says of the form that it could not take; empty when it could."""
    return str(answer.context_data["adminform"].form.errors)


def a_key(**fields: object) -> VirtualKey:
    return VirtualKey.objects.issue(**{"name": "dev", "team_id": "red", **fields})[0]


def test_a_key_is_issued_into_ones_team():
    answer = sender("red", "green").post(ADD, form())

    assert answer.status_code == 200
    assert VirtualKey.objects.get().team_id == "red"
    assert Secret.objects.count() == 1


def test_the_page_offers_ones_teams_only():
    Team.objects.create(team_id="red", alias="Red ones")
    Team.objects.create(team_id="blue", alias="Blue ones")

    words = text(browser("red", "green").get(ADD))

    assert "Red ones" in words
    assert '<option value="green"' in words
    assert "Blue ones" not in words


@pytest.mark.parametrize("team_id", ["blue", "", "red "])
def test_no_key_is_issued_into_another_team_or_none(team_id):
    sender("red").post(ADD, form(team_id=team_id))

    assert not VirtualKey.objects.exclude(team_id="red").exists()


def test_who_manages_no_team_issues_no_key():
    sender().post(ADD, form())

    assert not VirtualKey.objects.exists()


def test_a_key_stays_in_its_team():
    key = a_key()

    sender("red", "green").post(page_of(key), form(team_id="green", name="renamed"))

    key.refresh_from_db()
    assert (key.name, key.team_id) == ("renamed", "red")


def test_a_key_that_was_moved_away_meanwhile_is_not_changed():
    key, client = a_key(), sender("red")
    VirtualKey.objects.update(team_id="blue")

    client.post(page_of(key), form(name="renamed"))

    key.refresh_from_db()
    assert key.name == "dev"


ABOVE = {
    "rpm_limit": "61",
    "tpm_limit": "1001",
    "max_parallel_requests": "3",
    "max_budget": "5.01",
    "token_budget": "100",
    "models": "gpt-*",
}
WITHIN = {
    "rpm_limit": "60",
    "tpm_limit": "1000",
    "max_parallel_requests": "2",
    "max_budget": "5",
    "token_budget": "99",
    "models": "qwen-7b\nqwen-1*",
}


@pytest.fixture
def red() -> Team:
    return Team.objects.create(
        team_id="red",
        rpm_limit=60,
        tpm_limit=1000,
        max_parallel_requests=2,
        max_budget=Decimal(5),
        token_budget=99,
        models=["qwen-*"],
    )


@pytest.mark.parametrize("name", ABOVE)
def test_a_key_is_not_raised_above_its_team(red, name):
    key, client = a_key(), sender("red")

    words = errors_of(client.post(page_of(key), form(**{name: ABOVE[name]})))

    assert "The team may not use gpt-*." in words if name == "models" else "the team has" in words
    assert getattr(VirtualKey.objects.get(), name) in (None, [])
    assert errors_of(client.post(ADD, form(name="other", **{name: ABOVE[name]})))
    assert VirtualKey.objects.count() == 1


def test_the_page_says_what_the_team_has_not(red):
    words = text(browser("red").post(page_of(a_key()), form(rpm_limit="61")))

    assert "errornote" in words
    assert "the team has" in words


def test_a_key_may_have_all_that_its_team_has(red):
    key = a_key()

    sender("red").post(page_of(key), form(**WITHIN))

    key.refresh_from_db()
    assert (key.rpm_limit, key.max_budget, key.models) == (60, Decimal(5), ["qwen-7b", "qwen-1*"])


def test_limits_of_other_periods_are_not_compared(red):
    key = a_key()

    sender("red").post(page_of(key), form(max_budget="20", budget_duration="12mo"))

    key.refresh_from_db()
    assert key.max_budget == 20


def test_who_sees_every_team_raises_a_key_above_its_team(red):
    key = a_key()

    signed_in("keys.view_virtualkey", "keys.change_virtualkey").post(page_of(key), form(rpm_limit="100"))

    key.refresh_from_db()
    assert key.rpm_limit == 100


BEYOND = {
    "key_type": "management",
    "priority": "100",
    "allowed_upstreams": "*",
    "endpoint_classes": [INFERENCE, SERVER_CONTROL],
}


@pytest.mark.parametrize("name", BEYOND)
def test_a_key_gets_nothing_that_reaches_beyond_a_team(name):
    key, client = a_key(), sender("red")
    before = getattr(key, name)

    client.post(page_of(key), form(**{name: BEYOND[name]}))
    client.post(ADD, form(name="other", **{name: BEYOND[name]}))

    assert {str(getattr(one, name)) for one in VirtualKey.objects.all()} == {str(before)}


def test_a_key_keeps_what_others_gave_it():
    key = a_key(endpoint_classes=[INFERENCE, SERVER_CONTROL], priority=5)

    sender("red").post(page_of(key), form(name="renamed", endpoint_classes=[INFERENCE, SERVER_CONTROL]))

    key.refresh_from_db()
    assert (key.name, key.priority, key.endpoint_classes) == ("renamed", 5, [INFERENCE, SERVER_CONTROL])


@pytest.mark.parametrize("verb", ["change", "history", "delete"])
def test_a_management_key_of_ones_team_is_not_ones_own(verb):
    key = a_key(key_type="management", endpoint_classes=[])

    assert browser("red").get(f"/admin/keys/virtualkey/{key.pk}/{verb}/").status_code == 302


def test_a_secret_of_a_management_key_is_not_had_by_rotation():
    key = a_key(key_type="management", endpoint_classes=[])

    sender("red").post("/admin/keys/virtualkey/rotate/", {"secret": [key.secret.pk], "overlap": "0"})

    assert Secret.objects.get() == key.secret


@pytest.mark.parametrize(("team_id", "is_issued"), [("red", True), ("blue", False)])
def test_an_owner_is_named_whose_keys_one_manages(team_id, is_issued):
    Owner.objects.create(user_id="bo")
    a_key(name="first", team_id=team_id, user_id="bo")

    answer = sender("red").post(ADD, form(user_id="bo"))

    assert VirtualKey.objects.filter(name="dev").exists() is is_issued
    assert is_issued or "holds no key of your teams" in errors_of(answer)


def test_an_owner_of_whom_nothing_is_said_is_free_to_name():
    sender("red").post(ADD, form(user_id="somebody new"))

    assert VirtualKey.objects.get().user_id == "somebody new"


def test_actions_reach_ones_own_keys_only():
    mine, other = a_key(), a_key(name="other", team_id="blue")
    sent = {"action": "block", "_selected_action": [mine.pk, other.pk], "post": "yes", "select_across": "1"}

    sender("red").post("/admin/keys/virtualkey/", sent)

    assert {key.name: key.blocked for key in VirtualKey.objects.all()} == {"dev": True, "other": False}


def test_owners_and_end_users_are_for_who_sees_every_team():
    owner = Owner.objects.create(user_id="bo")
    client = signed_in("keys.view_owner", "keys.change_owner", "keys.add_owner", teams=["red"])

    assert list(client.get("/admin/keys/owner/").context["cl"].result_list) == []
    assert client.get(f"/admin/keys/owner/{owner.pk}/change/").status_code == 302
    assert client.get("/admin/keys/owner/add/").status_code == 403


def test_who_may_only_look_at_their_teams_keys_changes_none():
    key = a_key()
    client = signed_in("keys.view_virtualkey", teams=["red"])

    assert "dev" in text(client.get(page_of(key)))
    assert client.post(page_of(key), form(name="renamed")).status_code == 403
    assert client.get(ADD).status_code == 403


# --- Keys of ones team to which somebody else gave more -------------------------------------------

GIVEN = {
    "endpoint_classes": [INFERENCE, SERVER_CONTROL],
    "priority": 1,
    "allowed_upstreams": ["gpu-*"],
}
KEYS = "/admin/keys/virtualkey/"


@pytest.fixture(params=GIVEN)
def beyond(request) -> VirtualKey:
    name = request.param
    return a_key(name="strong", **{name: GIVEN[name], "expires_at": timezone.now() + timedelta(days=1)})


def rotated(client: Client, *keys: VirtualKey):
    return client.post(f"{KEYS}rotate/", {"secret": [key.secret.pk for key in keys], "overlap": "0"})


def test_its_secret_is_not_had_by_rotation(beyond):
    before = beyond.secret
    answer = rotated(sender("red"), beyond)

    assert "“strong” was not rotated: it may" in told(answer)
    assert Secret.objects.get() == before


def test_nor_are_the_secrets_of_several_at_once(beyond):
    usual, client, before = a_key(), sender("red"), beyond.secret
    sent = {"action": "rotate", "_selected_action": [usual.pk, beyond.pk]}

    asked = client.post(KEYS, sent, follow=True)
    answer = rotated(client, usual, beyond)

    assert asked.context_data["keys"] == [usual]
    assert [key for key, *_ in answer.context_data["issued"]] == [usual]
    assert Secret.objects.filter(key=beyond).get() == before


@pytest.mark.parametrize("address", [f"{KEYS}%d/extend/", KEYS])
def test_it_lives_no_longer(beyond, address):
    sent = {"post": "yes", "until": "never", "action": "extend", "_selected_action": [beyond.pk]}
    path = address % beyond.pk if "%d" in address else address

    words = told(sender("red").post(path, sent))

    assert "“strong” was not extended: it may" in words
    assert VirtualKey.objects.get().expires_at == beyond.expires_at


@pytest.mark.parametrize("address", [f"{KEYS}%d/unblock/", KEYS])
def test_it_is_blocked_and_stays_so(beyond, address):
    client, path = sender("red"), address % beyond.pk if "%d" in address else address
    client.post(f"{KEYS}{beyond.pk}/block/", {"post": "yes"})

    words = told(client.post(path, {"action": "unblock", "_selected_action": [beyond.pk]}))

    assert "“strong” was not unblocked: it may" in words
    assert VirtualKey.objects.get().blocked


def test_its_spend_is_not_set_to_zero(beyond):
    words = told(sender("red").post(f"{KEYS}{beyond.pk}/reset_spend/"))

    assert "“strong” was not set to zero: it may" in words


WIDER = {
    "models": "other",
    "rpm_limit": "9",
    "allowed_ips": "0.0.0.0/0",
    "allowed_routes": "/vllm/*",
    "aliases": '{"a": "b"}',
    "expires_at": "2099-01-01T00:00",
    "max_budget": "9",
    "user_id": "somebody",
}


def test_it_is_renamed_and_not_widened(beyond):
    before = {name: getattr(beyond, name) for name in (*WIDER, *GIVEN)}

    sender("red").post(page_of(beyond), form(name="renamed", **WIDER))

    beyond.refresh_from_db()
    assert beyond.name == "renamed"
    assert {name: getattr(beyond, name) for name in before} == before


def test_its_page_says_why_there_are_no_buttons(beyond):
    words = text(browser("red").get(page_of(beyond)))

    assert "This key is not yours to rotate, extend, unblock or widen: it may" in words
    assert f"{KEYS}rotate/" not in words
    assert f"{KEYS}{beyond.pk}/extend/" not in words
    assert f"{KEYS}{beyond.pk}/block/" in words


def test_it_is_deleted(beyond):
    sender("red").post(f"{KEYS}{beyond.pk}/delete/", {"post": "yes"})

    assert not VirtualKey.objects.exists()


def test_who_manages_every_team_rotates_it(beyond):
    before = beyond.secret

    rotated(undrawn(signed_in()), beyond)

    assert Secret.objects.get() != before


def test_a_key_with_limits_above_the_teams_has_no_more_than_the_team(red):
    key = a_key(rpm_limit=61)
    before = key.secret

    rotated(sender("red"), key)

    assert Secret.objects.get() != before


# --- Which team ------------------------------------------------------------------------------------

NO_TEAM = "You manage no team yet; an owner adds you on the team"


@pytest.mark.parametrize("path", ["/admin/", KEYS, "/admin/keys/team/", "/admin/playground/"])
def test_who_manages_no_team_is_told_so(path):
    words = text(browser().get(path))

    assert NO_TEAM in words
    assert ADD not in words


def test_who_manages_one_is_not():
    assert NO_TEAM not in text(browser("red").get(KEYS))


def test_the_team_is_required_and_preset_where_there_is_one():
    one = browser("red")
    assert '<option value="red" selected>' in text(one.get(ADD))

    TeamManager.objects.create(user=User.objects.get(), team_id="green")
    words = text(one.get(ADD))

    assert 'class="required" for="id_team_id"' in words.replace("<label ", "").replace(" inline", "")
    assert '<option value="" selected>Choose a team' in words
    assert "Choose the team that the key is for." in text(one.post(ADD, form(team_id="")))


def test_who_manages_no_team_yet_is_told_what_issuing_takes():
    page = text(browser().get("/admin/keys/virtualkey/"))
    assert "You can issue keys once you manage a team" in page
    assert "Issue a key" not in page
    assert "once you manage a team" not in text(signed_in(name="bob").get("/admin/keys/virtualkey/"))
