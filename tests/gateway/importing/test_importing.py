"""An import, and the next one: what comes over, what follows LiteLLM, and what stays as people here have it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry

from gateway.importing import reading
from gateway.importing.errors import CannotImport
from gateway.importing.memory import ImportedRow
from gateway.importing.plan import Plan
from gateway.importing.reading import Tables
from gateway.importing.servers import read_models
from gateway.importing.theirs import read_people_and_keys
from gateway.importing.wanted import Wishes
from gateway.importing.writing import WHO, carry_out, plan_now
from keys.limits import spend_counter
from keys.models import EndUser, KeysVersion, Owner, Secret, SpendWindow, Team, VirtualKey
from keys.registry import KeyRegistry
from keys.spending import party_named, spending
from tests.support.litellm_database import SALT_KEY, digest, key_row, model_row
from upstreams.models import CONFIG, DISCOVERED, Deployment, Upstream

pytestmark = pytest.mark.django_db

SECRET, OTHER = "sk-a-developers-old-key", "sk-what-a-rotation-gave"
USD = 10_000_000_000


class LiteLLM:
    """Its tables, and imports of them."""

    def __init__(self) -> None:
        self.tables: dict[str, list[dict[str, Any]]] = {}
        self.source = "litellm:5432/litellm"

    def has(self, table: str, *rows: dict[str, Any]) -> None:
        self.tables[table] = list(rows)

    def keys(self, *rows: dict[str, Any]) -> None:
        self.has(reading.KEYS, *rows)

    def wishes(self, now: datetime) -> Wishes:
        tables = Tables(self.source, self.tables)
        wishes = read_people_and_keys(tables, now)
        read_models(tables, SALT_KEY, wishes)
        return wishes

    def plan(self, *, overwrite: bool = False) -> Plan:
        now = datetime.now(UTC)
        return plan_now(self.wishes(now), overwrite=overwrite, now=now)

    def imported(self, *, overwrite: bool = False) -> Plan:
        """The plan, after it was carried out."""
        now = datetime.now(UTC)
        wishes = self.wishes(now)
        plan = plan_now(wishes, overwrite=overwrite, now=now)
        carry_out(wishes, plan, overwrite=overwrite, now=now)
        return plan

    def lines(self, *, overwrite: bool = False) -> list[str]:
        """The changes of an import that is carried out."""
        return [str(change) for change in self.imported(overwrite=overwrite).changes]


@pytest.fixture
def litellm() -> LiteLLM:
    return LiteLLM()


@pytest.fixture
def registry() -> KeyRegistry:
    return KeyRegistry()


def the_key() -> VirtualKey:
    return VirtualKey.objects.get()


def versions() -> list[int]:
    """When each row was last written."""
    return [row.version for table in (Team, Owner, EndUser, VirtualKey, Upstream) for row in table.objects.all()]


def everything() -> LiteLLM:
    litellm = LiteLLM()
    litellm.has(reading.TEAMS, {"team_id": "t", "team_alias": "Research", "max_budget": 5.0, "budget_duration": "30d"})
    litellm.has(reading.USERS, {"user_id": "u", "user_alias": "Ada", "user_email": "ada@x", "user_role": "member"})
    litellm.has(reading.END_USERS, {"user_id": "c", "alias": "Carla", "blocked": True})
    litellm.has(reading.MODELS, model_row("chat", api_key="hunter2"))
    litellm.keys(key_row(SECRET, "ada", user_id="u", team_id="t", models=["chat"], rpm_limit=5, metadata={"a": 1}))
    return litellm


def test_everything_comes_over() -> None:
    assert everything().lines() == [
        "+ team Research: max_budget 5, budget_duration 30d",
        "+ owner Ada: email ada@x, role member",
        "+ end user Carla: blocked yes",
        "+ virtual key ada: models [chat], with metadata, rpm_limit 5, user_id u, team_id t",
        "+ model chat: served_name chat, url http://gpu:8000, with credential, weight 1, with info",
    ]
    assert (Team.objects.get().team_id, Owner.objects.get().user_id, EndUser.objects.get().blocked) == ("t", "u", True)
    assert (the_key().name, the_key().created_by) == ("ada", WHO)
    secret = Secret.objects.get()
    assert (secret.digest, secret.prefix, secret.last_four) == (digest(SECRET), "sk-", "-key")
    deployment = Deployment.objects.get()
    assert (deployment.alias, deployment.upstream.url) == ("chat", "http://gpu:8000")
    assert deployment.upstream.credential.reveal() == "hunter2"


def test_the_registry_finds_the_old_key(registry: KeyRegistry) -> None:
    everything().imported()
    registry.refresh()
    identity = registry.find(digest(SECRET))
    assert identity is not None
    assert (identity.name, identity.user_id, identity.team_id, identity.masked) == ("ada", "u", "t", "sk-...-key")


def test_an_unchanged_second_import_changes_nothing() -> None:
    litellm = everything()
    litellm.imported()
    before = versions()
    plan = litellm.imported()
    assert (plan.changes, plan.kept, plan.unchanged) == ([], [], 5)
    assert versions() == before


def test_no_secret_and_no_digest_is_in_the_history_or_in_what_is_remembered() -> None:
    litellm = everything()
    litellm.imported()
    litellm.keys(key_row(SECRET, "ada", rpm_limit=7))
    litellm.imported()
    told = " ".join(LogEntry.objects.filter(user__username=WHO).values_list("change_message", flat=True))
    assert "rpm_limit 5 → 7" in told
    assert digest(SECRET) not in told
    assert "hunter2" not in f"{told}{list(ImportedRow.objects.values('values'))}"


# --- What changes there, and what was changed here --------------------------------------------------------------


def test_what_changes_there_changes_here() -> None:
    litellm = everything()
    litellm.imported()
    litellm.keys(key_row(SECRET, "ada", user_id="u", team_id="t", models=["chat"], rpm_limit=9, blocked=True))
    litellm.has(reading.TEAMS, {"team_id": "t", "team_alias": "Lab", "max_budget": 6.0, "budget_duration": "30d"})
    litellm.has(reading.MODELS, model_row("chat", api_key="hunter3", rpm=4))
    assert litellm.lines() == [
        "~ team Lab: max_budget 5 → 6, alias Research → Lab",
        "~ virtual key ada: metadata changed, blocked no → yes, rpm_limit 5 → 9",
        "~ model chat: credential changed, rpm none → 4",
    ]
    assert (the_key().rpm_limit, the_key().blocked, the_key().metadata) == (9, True, {})
    assert Upstream.objects.get().credential.reveal() == "hunter3"
    assert litellm.lines() == []


def test_what_was_changed_here_stays_and_is_said() -> None:
    litellm = everything()
    litellm.imported()
    VirtualKey.objects.update(rpm_limit=50, models=["mine"])
    plan = litellm.imported()
    assert plan.changes == []
    assert plan.kept == ["virtual key ada: models [mine] (LiteLLM: [chat]), rpm_limit 50 (LiteLLM: 5)"]
    litellm.keys(key_row(SECRET, "ada", user_id="u", team_id="t", models=["chat"], rpm_limit=6, metadata={"a": 1}))
    assert litellm.lines() == []
    assert the_key().rpm_limit == 50


def test_overwrite_takes_what_litellm_says() -> None:
    litellm = everything()
    litellm.imported()
    VirtualKey.objects.update(rpm_limit=50)
    assert litellm.lines(overwrite=True) == ["~ virtual key ada: rpm_limit 50 → 5"]
    litellm.keys(key_row(SECRET, "ada", user_id="u", team_id="t", models=["chat"], rpm_limit=6, metadata={"a": 1}))
    assert litellm.lines() == ["~ virtual key ada: rpm_limit 5 → 6"]


def test_a_key_that_was_taken_over_by_hand_is_known_by_its_digest(litellm: LiteLLM) -> None:
    VirtualKey.objects.issue(name="her own", secret=SECRET, rpm_limit=3)
    litellm.keys(key_row(SECRET, "ada", rpm_limit=5))
    assert litellm.imported().kept == ["virtual key ada: rpm_limit 3 (LiteLLM: 5), name her own (LiteLLM: ada)"]
    litellm.keys(key_row(SECRET, "ada", rpm_limit=5, tpm_limit=7))
    assert litellm.lines() == ["~ virtual key ada: tpm_limit none → 7"]


def test_what_was_deleted_here_stays_deleted() -> None:
    litellm = everything()
    litellm.imported()
    VirtualKey.objects.all().delete()
    Deployment.objects.all().delete()
    assert litellm.imported().kept == ["virtual key ada was deleted here", "model chat was deleted here"]
    assert [line[:17] for line in litellm.lines(overwrite=True)] == ["+ virtual key ada", "+ model chat: ser"]
    assert litellm.lines() == []


def test_a_name_and_a_mail_address_that_another_has_stay(litellm: LiteLLM) -> None:
    litellm.has(reading.USERS, {"user_id": "u"})
    litellm.keys(key_row(SECRET, "ada"))
    litellm.imported()
    Owner.objects.create(user_id="v", email="x@x")
    VirtualKey.objects.issue(name="bob")
    litellm.has(reading.USERS, {"user_id": "u", "user_email": "x@x"}, {"user_id": "w", "user_email": "x@x"})
    litellm.keys(key_row(SECRET, "bob"))
    plan = litellm.imported(overwrite=True)
    assert plan.kept == ["owner x@x: email none (LiteLLM: x@x)", "virtual key bob: name ada (LiteLLM: bob)"]
    assert Owner.objects.get(user_id="w").email is None


# --- Names, rotations, secrets ----------------------------------------------------------------------------------


def test_a_key_that_has_the_alias_already_takes_the_secret_only_when_a_person_says_so(litellm: LiteLLM) -> None:
    VirtualKey.objects.issue(name="ada")
    litellm.keys(key_row(SECRET, "ada", rpm_limit=5))
    plan = litellm.imported()
    assert plan.changes == []
    assert plan.refused[0].reason.startswith("a key here has its alias; with --overwrite")
    assert litellm.lines(overwrite=True) == ["~ virtual key ada: rpm_limit none → 5, 1 more secret"]
    assert the_key().secrets.count() == 2
    assert litellm.lines() == []


@pytest.mark.parametrize("more", [{"key_type": "management"}, {"allowed_upstreams": ["*"]}])
def test_a_key_that_may_do_more_takes_no_secret_because_of_its_name(litellm: LiteLLM, more: dict[str, Any]) -> None:
    VirtualKey.objects.issue(name="ops", **more)
    litellm.keys(key_row(SECRET, "ops"))
    plan = litellm.imported(overwrite=True)
    assert plan.refused[0].reason == "a key here has its alias, and may do more than a key of LiteLLM."
    assert not Secret.objects.filter(digest=digest(SECRET)).exists()


def test_a_rotation_there_changes_the_secret_here(litellm: LiteLLM) -> None:
    litellm.keys(key_row(SECRET, "ada"))
    litellm.imported()
    key = the_key()
    litellm.keys(key_row(OTHER, "ada"))
    assert litellm.lines() == ["~ virtual key ada: 1 more secret, 1 secret less"]
    assert [one.digest for one in key.secrets.all()] == [digest(OTHER)]
    assert litellm.lines() == []


def test_a_rotation_there_with_an_overlap_ends_the_old_secret_when_that_ends(litellm: LiteLLM) -> None:
    litellm.keys(key_row(SECRET, "ada"))
    litellm.imported()
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    litellm.keys(key_row(OTHER, "ada"))
    old = {"token": digest(SECRET), "active_token_id": digest(OTHER), "revoke_at": ends}
    litellm.has(reading.OLD_SECRETS, old)
    assert litellm.lines() == ["~ virtual key ada: 1 more secret, its old secret ends with the rotation there"]
    assert Secret.objects.get(digest=digest(SECRET)).expires_at == ends
    assert litellm.lines() == []


def test_another_s_key_with_the_alias_of_a_deleted_one_is_not_that_key(litellm: LiteLLM) -> None:
    litellm.keys(key_row(SECRET, "ops", user_id="ada"))
    litellm.imported()
    litellm.keys(key_row(OTHER, "ops", user_id="mallory"))
    plan = litellm.imported()
    assert [str(one) for one in plan.changes] == ["~ virtual key ops: it is not in LiteLLM any more, so it is blocked"]
    assert plan.refused[0].reason.startswith("a key here has its alias")
    assert not Secret.objects.filter(digest=digest(OTHER)).exists()


def test_a_rotation_here_ends_the_old_secret_for_good(litellm: LiteLLM) -> None:
    litellm.keys(key_row(SECRET, "ada"))
    litellm.imported()
    the_key().rotate(timedelta(0))
    assert litellm.lines(overwrite=True) == []
    litellm.keys(key_row(SECRET, "ada", rpm_limit=4))
    assert litellm.lines() == ["~ virtual key ada: rpm_limit none → 4"]
    assert not Secret.objects.filter(digest=digest(SECRET)).exists()


def test_a_key_that_is_gone_there_is_blocked_here(litellm: LiteLLM) -> None:
    litellm.keys(key_row(SECRET, "ada"), key_row(OTHER, "bob"))
    litellm.imported()
    litellm.keys(key_row(OTHER, "bob"))
    assert litellm.lines() == ["~ virtual key ada: it is not in LiteLLM any more, so it is blocked"]
    assert VirtualKey.objects.get(name="ada").blocked
    VirtualKey.objects.get(name="ada").unblock()
    assert litellm.lines() == []


def test_a_key_that_is_gone_there_and_has_a_secret_from_here_keeps_that(litellm: LiteLLM) -> None:
    litellm.keys(key_row(SECRET, "ada"))
    litellm.imported()
    plain = the_key().rotate(timedelta(days=7))
    litellm.keys()
    assert litellm.lines() == ["~ virtual key ada: it is not in LiteLLM any more, so its secret from there ends"]
    assert [one.digest for one in the_key().secrets.all()] == [digest(plain)]
    assert not the_key().blocked


def test_what_else_is_gone_there_stays_and_is_said_once() -> None:
    litellm = everything()
    litellm.imported()
    litellm.has(reading.TEAMS)
    litellm.has(reading.MODELS)
    plan = litellm.imported()
    assert {(note.kind, note.name) for note in plan.notes} == {("team", "t"), ("model", "id-of-chat")}
    assert (Team.objects.count(), Deployment.objects.count()) == (1, 1)
    assert litellm.imported().notes == []


def test_two_databases_do_not_take_each_other_s_keys_for_gone(litellm: LiteLLM) -> None:
    litellm.keys(key_row(SECRET, "ada"))
    litellm.imported()
    other = LiteLLM()
    other.source = "another:5432/litellm"
    other.keys(key_row(OTHER, "bob"))
    assert other.lines() == ["+ virtual key bob"]
    assert (litellm.lines(), other.lines()) == ([], [])


def test_the_master_key_is_nobody_s_key(litellm: LiteLLM, settings: Any) -> None:
    litellm.keys(key_row(settings.MASTER_KEY, "master"))
    assert litellm.imported().refused[0].reason == "it is the master key here."


# --- Spend ------------------------------------------------------------------------------------------------------


def test_what_was_spent_in_the_current_window_comes_along(litellm: LiteLLM) -> None:
    resets_at = datetime.now(UTC) + timedelta(days=3)
    window = {"max_budget": 5.0, "budget_duration": "30d", "budget_reset_at": resets_at.replace(tzinfo=None)}
    litellm.has(reading.TEAMS, {"team_id": "t", "spend": 2.5, **window})
    litellm.keys(key_row(SECRET, "ada", spend=1.25, max_budget=2.0))
    assert litellm.lines()[1].endswith("1.25 USD spent there")
    assert spending(the_key()).dollars == 1.25
    team = Team.objects.get()
    assert spending(team).dollars == 2.5
    row = SpendWindow.objects.get(counter=spend_counter(party_named(team), time.time())[0])
    assert row.ends_at == spending(team).resets_at


def test_only_what_was_spent_there_since_is_added(litellm: LiteLLM) -> None:
    litellm.keys(key_row(SECRET, "ada", spend=1.0))
    litellm.imported()
    SpendWindow.objects.update(used=3 * USD)  # calls through this gateway
    litellm.keys(key_row(SECRET, "ada", spend=1.5))
    assert litellm.lines() == ["~ virtual key ada: 0.5 USD spent there"]
    assert spending(the_key()).dollars == 3.5
    litellm.keys(key_row(SECRET, "ada", spend=0.2))  # set back there
    assert litellm.lines() == []
    litellm.keys(key_row(SECRET, "ada", spend=0.3))
    assert litellm.lines() == ["~ virtual key ada: 0.1 USD spent there"]


def test_a_new_window_there_counts_from_its_beginning(litellm: LiteLLM) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    litellm.keys(key_row(SECRET, "ada", spend=1.0, budget_duration="1d", budget_reset_at=soon))
    litellm.imported()
    litellm.keys(key_row(SECRET, "ada", spend=1.5, budget_duration="1d", budget_reset_at=soon + timedelta(days=1)))
    assert litellm.lines() == ["~ virtual key ada: 1.5 USD spent there"]


def test_a_window_that_is_over_counts_nothing(litellm: LiteLLM) -> None:
    over = datetime.now(UTC) - timedelta(seconds=1)
    litellm.keys(key_row(SECRET, "ada", spend=1.0, budget_duration="1d", budget_reset_at=over))
    assert litellm.lines() == ["+ virtual key ada: budget_duration 1d"]
    assert not SpendWindow.objects.exists()


# --- Models -----------------------------------------------------------------------------------------------------


def test_models_of_one_server_share_an_upstream(litellm: LiteLLM) -> None:
    litellm.has(reading.MODELS, model_row("chat"), model_row("embed", input_cost_per_token=1e-6))
    litellm.imported()
    assert Upstream.objects.get().deployments.count() == 2
    assert litellm.lines() == []


def test_a_model_that_a_server_has_here_already_is_refused(litellm: LiteLLM) -> None:
    upstream = Upstream.objects.create(name="gpu", url="http://gpu:8000")
    Deployment.objects.create(upstream=upstream, alias="chat")
    Deployment.objects.create(upstream=upstream, alias="embed", source=DISCOVERED)
    litellm.has(reading.MODELS, model_row("chat"), model_row("embed"), model_row("embed", model_id="twin"))
    plan = litellm.imported()
    assert [one.name for one in plan.refused] == ["chat", "embed"]
    assert Deployment.objects.get(alias="embed").info == {"id": "id-of-embed"}


def test_a_model_moves_with_its_credential(litellm: LiteLLM) -> None:
    litellm.has(reading.MODELS, model_row("chat", api_key="hunter2"))
    litellm.imported()
    moved = model_row("talk", model_id="id-of-chat", api_base="http://new:1", api_key="hunter2", model="vllm/talk")
    litellm.has(reading.MODELS, {**moved, "blocked": True})
    assert litellm.lines() == [
        "~ model talk: alias chat → talk, served_name chat → talk, url http://gpu:8000 → http://new:1, hidden no → yes"
    ]
    row = Deployment.objects.get()
    assert (row.alias, row.upstream.url, row.hidden) == ("talk", "http://new:1", True)
    assert row.upstream.credential.reveal() == "hunter2"
    assert litellm.lines() == []


def test_a_model_that_the_configuration_file_keeps_stays(litellm: LiteLLM) -> None:
    litellm.has(reading.MODELS, model_row("chat"))
    litellm.imported()
    Deployment.objects.update(source=CONFIG)
    litellm.has(reading.MODELS, model_row("chat", rpm=3))
    plan = litellm.imported(overwrite=True)
    assert plan.kept == ["model chat, which is kept by the configuration file: rpm none (LiteLLM: 3)"]


# --- Together ---------------------------------------------------------------------------------------------------


def test_a_plan_that_is_not_what_was_shown_is_not_carried_out() -> None:
    litellm = everything()
    shown, now = litellm.plan(), datetime.now(UTC)
    Team.objects.create(team_id="t")
    with pytest.raises(CannotImport, match="changed meanwhile"):
        carry_out(litellm.wishes(now), shown, overwrite=False, now=now)
    assert not VirtualKey.objects.exists()


def test_many_keys_need_few_queries(
    litellm: LiteLLM, django_assert_max_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.importing.writing._BATCH", 60)  # several batches
    for spend in (0.5, 0.75):
        rows = (key_row(f"sk-{number:016}", f"{number}", spend=spend, max_budget=spend) for number in range(150))
        litellm.keys(*rows)
        with django_assert_max_num_queries(60):
            litellm.imported()
    assert (VirtualKey.objects.count(), SpendWindow.objects.count()) == (150, 150)
    assert set(VirtualKey.objects.values_list("max_budget", flat=True)) == {Decimal("0.75")}
    assert set(SpendWindow.objects.values_list("used", flat=True)) == {7_500_000_000}


def test_nothing_is_written_when_there_is_nothing_to_say(litellm: LiteLLM) -> None:
    litellm.keys(key_row(SECRET, "ada"))
    litellm.imported()
    before = KeysVersion.current()
    litellm.imported()
    assert KeysVersion.current() == before
