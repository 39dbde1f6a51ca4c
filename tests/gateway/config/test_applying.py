"""Plans carried out on a database, and the commands for it."""

from __future__ import annotations

import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command

from gateway.config.applying import PlanChanged, apply, plan_now
from gateway.config.document import ConfigError
from gateway.config.reader import read_text
from gateway.config.state import OF_THE_FILE
from gateway.config.wanted import Wanted
from keys.models import KeysVersion, VirtualKey
from tests.gateway.config.seeds import FORK, LITELLM, row, rows
from upstreams.fields import Credential
from upstreams.models import CONFIG, DISCOVERED, Deployment, ModelAlias, Routing, Upstream, UpstreamsVersion

pytestmark = pytest.mark.django_db

SECRET, OTHER_SECRET = "sk-0123456789abcdefghij", "sk-jihgfedcba9876543210"
FULL = """\
model_list:
  - model_name: m
    litellm_params: {model: hosted_vllm/s, api_base: http://a:1, api_key: hunter2, rpm: 5, weight: 2,
                     input_cost_per_token: 1.5e-07, output_cost_per_token: 0.000002, timeout: 60,
                     cache_read_input_token_cost: 1.5e-08, cost_per_request: 0.01, input_cost_per_second: 0.001}
    model_info: {id: mine, mode: chat}
  - model_name: m
    litellm_params: {model: hosted_vllm/s, api_base: http://b:1}
router_settings: {routing_strategy: least-busy, num_retries: 2, model_group_alias: {fast: m}}
gateway:
  upstreams:
    - {name: chat, url: http://c:1, max_parallel: 3, idle_timeout: 1.5, default: true, price_per_hour: 2.5}
  deployments:
    - {upstream: chat, alias: hidden-one, hidden: true}
  aliases:
    - {name: m, strategy: prefix_affinity, prefix_bytes: 10}
  keys:
    - {name: ci, secret: os.environ/CI_KEY, models: [m], max_parallel_requests: 2, aliases: {a: m}, priority: 5,
       allowed_upstreams: [chat]}
"""


def wanted(text: str, secret: str = SECRET) -> Wanted:
    return read_text(text, {"CI_KEY": secret}).wanted


def lines(text: str) -> list[str]:
    return apply(wanted(text)).lines()


# --- Applying ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [LITELLM, FORK])
def test_the_examples_are_callable_once_applied(text: str) -> None:
    apply(wanted(text))
    deployment = Deployment.objects.get()
    assert (deployment.alias, deployment.served_name, deployment.source) == ("my-vllm-model", "vllm-1.72", CONFIG)
    upstream = deployment.upstream
    assert (upstream.url, upstream.source, upstream.is_default) == ("https://my-vllm-server.com", CONFIG, True)


@pytest.mark.parametrize("text", [LITELLM, FULL])
def test_applying_twice_changes_nothing(text: str) -> None:
    assert lines(text) != []
    versions = (UpstreamsVersion.current(), KeysVersion.current())
    assert lines(text) == []
    assert (UpstreamsVersion.current(), KeysVersion.current()) == versions


def test_everything_of_a_file_is_there() -> None:
    apply(wanted(FULL))
    first, second, chat = Upstream.objects.order_by("url")
    assert (first.credential.reveal(), first.total_timeout, second.credential.reveal()) == ("hunter2", 60, "")
    assert (chat.name, chat.is_default, chat.max_parallel, chat.idle_timeout) == ("chat", True, 3, 1.5)
    deployment = first.deployments.get()
    assert (deployment.rpm, deployment.weight, deployment.info) == (5, 2, {"id": "mine", "mode": "chat"})
    assert deployment.input_cost_per_token == Decimal("0.00000015")
    assert deployment.cache_read_input_token_cost == Decimal("0.000000015")
    assert (deployment.cost_per_request, deployment.cost_per_second) == (Decimal("0.01"), Decimal("0.001"))
    assert (first.price_per_hour, chat.price_per_hour) == (None, Decimal("2.5"))
    assert Deployment.objects.get(alias="hidden-one").hidden
    assert ModelAlias.objects.get(name="fast").stands_for == "m"
    assert (Routing.current().strategy, Routing.current().most_attempts) == ("least_in_flight", 3)
    key = VirtualKey.objects.with_secret(SECRET).get()
    assert (key.models, key.aliases, key.allowed_upstreams, key.priority) == (["m"], {"a": "m"}, ["chat"], 5)


def test_the_history_says_what_the_file_did_without_a_secret() -> None:
    apply(wanted(FULL))
    messages = list(LogEntry.objects.filter(user__username=OF_THE_FILE).values_list("change_message", flat=True))
    assert len(messages) == 10
    assert all(message.startswith(("Added by the configuration file: ", "Changed by")) for message in messages)
    assert not any(secret in "".join(messages) for secret in ("hunter2", SECRET))


def test_a_plan_shows_prices() -> None:
    apply(wanted(FULL))
    dearer = FULL.replace("price_per_hour: 2.5", "price_per_hour: 3").replace("cost_per_request: 0.01, ", "")
    assert lines(dearer) == [
        "~ upstream chat: price_per_hour 2.5 → 3",
        "~ deployment m on m: cost_per_request 0.01 → none",
    ]


def test_what_leaves_the_file_leaves_the_database_and_nothing_else_does() -> None:
    theirs = Upstream.objects.create(name="theirs", url="http://theirs:1")
    Deployment.objects.create(upstream=theirs, alias="t")
    ModelAlias.objects.create(name="t2", stands_for="t")
    VirtualKey.objects.issue(name="theirs")
    apply(wanted(FULL))
    apply(Wanted())
    assert [one.name for one in Upstream.objects.all()] == ["theirs"]
    assert [one.alias for one in Deployment.objects.all()] == ["t"]
    assert [one.name for one in ModelAlias.objects.all()] == ["t2"]
    assert [one.name for one in VirtualKey.objects.all()] == ["theirs"]


def test_changes_are_made_to_the_same_rows() -> None:
    apply(wanted(rows(row("a"), row("b", base="http://b:1"))))
    before = set(Upstream.objects.values_list("pk", flat=True))
    changed = rows(row("a", api_key="new", rpm=3), row("c", base="http://b:1"))
    assert [line.partition(":")[0] for line in lines(changed)] == [
        "- deployment b on b",
        "~ upstream a",
        "~ deployment a on a",
        "+ deployment c on b",
    ]
    assert set(Upstream.objects.values_list("pk", flat=True)) == before
    assert Upstream.objects.get(name="a").credential.reveal() == "new"
    assert lines(changed) == []


def test_a_credential_goes_along_when_the_file_moves_its_server() -> None:
    text = "gateway: {{upstreams: [{{name: a, url: {url}, credential: k}}]}}"
    apply(wanted(text.format(url="http://a:1")))
    apply(wanted(text.format(url="http://b:1")))
    assert Upstream.objects.get().credential.reveal() == "k"


def test_a_default_moves_to_the_one_that_the_file_names() -> None:
    Upstream.objects.create(name="theirs", url="http://theirs:1")
    apply(wanted("gateway: {upstreams: [{name: a, url: http://a, default: true}]}"))
    assert Upstream.objects.get(is_default=True).name == "a"


def test_a_discovered_model_is_taken_over() -> None:
    upstream = Upstream.objects.create(name="m", url="http://a:1", source=CONFIG)
    Deployment.objects.create(upstream=upstream, alias="s", source=DISCOVERED)
    apply(wanted(rows(row("s"))))
    assert Deployment.objects.get().source == CONFIG
    assert lines(rows(row("s"))) == []


def test_an_unreadable_credential_is_replaced() -> None:
    apply(wanted(rows(row(api_key="k"))))
    Upstream.objects.update(credential=Credential.from_stored("of another key"))
    assert lines(rows(row(api_key="k"))) == ["~ upstream m: credential changed"]


def test_a_new_secret_replaces_the_old_one() -> None:
    apply(wanted(FULL))
    apply(wanted(FULL, OTHER_SECRET))
    assert not VirtualKey.objects.with_secret(SECRET).exists()
    assert VirtualKey.objects.with_secret(OTHER_SECRET).get().name == "ci"


def test_all_or_nothing() -> None:
    VirtualKey.objects.issue(name="other", secret=SECRET)
    with pytest.raises(ConfigError, match=r"^The virtual key ci cannot be as the file says\. This key exists already"):
        apply(wanted(FULL))
    assert not Upstream.objects.exists()


def test_what_a_key_cannot_be_is_said() -> None:
    text = "gateway: {keys: [{name: ci, secret: os.environ/CI_KEY, aliases: {a: 5}}]}"
    with pytest.raises(ConfigError, match=r"The virtual key ci cannot be as the file says\. Must be a JSON object"):
        apply(wanted(text))


def test_a_plan_that_has_become_another_is_not_carried_out() -> None:
    plan = plan_now(wanted(LITELLM))
    Upstream.objects.create(name="my-vllm-model", url="http://else:1")
    with pytest.raises(PlanChanged):
        apply(wanted(LITELLM), shown=plan)
    assert not Deployment.objects.exists()


# --- The commands -----------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(LITELLM)
    return path


def run(capsys: Any, *arguments: str) -> tuple[str, str]:
    call_command(*arguments)
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_apply_prints_its_plan_and_does_it(capsys: Any, file: Path) -> None:
    out, err = run(capsys, "apply", str(file), "--yes")
    assert out.splitlines()[0].startswith("+ upstream my-vllm-model: ")
    assert out.endswith("Applied: 2 added, 0 changed, 0 removed.\n")
    assert err == ""
    assert run(capsys, "apply", str(file)) == ("Nothing to do.\n", "")


def test_apply_asks_nobody_where_nobody_is(capsys: Any, file: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match="say --yes"):
        call_command("apply", str(file))
    assert capsys.readouterr().out.startswith("+ upstream")
    assert not Upstream.objects.exists()


class Person:
    """Somebody at a terminal, who types one line."""

    def __init__(self, answer: str) -> None:
        self._answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return self._answer


@pytest.mark.parametrize(("answer", "upstreams"), [("y\n", 1), ("yes\n", 1), ("n\n", 0), ("", 0)])
def test_apply_asks(monkeypatch: pytest.MonkeyPatch, file: Path, answer: str, upstreams: int) -> None:
    monkeypatch.setattr("sys.stdin", Person(answer))
    if upstreams:
        call_command("apply", str(file))
    else:
        with pytest.raises(ImproperlyConfigured, match="Nothing was applied"):
            call_command("apply", str(file))
    assert Upstream.objects.count() == upstreams


def test_apply_says_what_it_ignores_and_what_only_a_start_reads(capsys: Any, file: Path) -> None:
    file.write_text(LITELLM + "general_settings: {master_key: sk-never-shown}\nlitellm_settings: {cache: true}\n")
    out, err = run(capsys, "apply", str(file), "--yes")
    assert "note: general_settings.master_key and database_url are read at start only" in err
    assert "warning: " in err
    assert "litellm_settings is not supported" in err
    assert "sk-never-shown" not in out + err


def test_a_wrong_file_is_one_sentence(file: Path) -> None:
    file.write_text("model_list: 1")
    with pytest.raises(ImproperlyConfigured, match=r"config.yaml, line 1: model_list must be a list\.$"):
        call_command("apply", str(file), "--yes")


def test_what_export_writes_apply_takes_without_a_change(
    capsys: Any, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = Upstream.objects.create(name="The r's", url="http://theirs:1", credential="k2", state="draining")
    Deployment.objects.create(upstream=theirs, alias="plain", source=DISCOVERED)
    Deployment.objects.create(upstream=theirs, alias="priced", source=DISCOVERED, weight=4)
    apply(wanted(FULL))
    text, _ = run(capsys, "export")
    assert not any(secret in text for secret in ("hunter2", "k2", SECRET))
    assert "CREDENTIAL_OF_M, SECRET_OF_CI" in text
    assert "plain" not in text
    assert "priced" in text
    file.write_text(text)
    for name, value in (("CREDENTIAL_OF_THE_R_S", "k2"), ("CREDENTIAL_OF_M", "hunter2"), ("SECRET_OF_CI", SECRET)):
        monkeypatch.setitem(os.environ, name, value)
    assert run(capsys, "apply", str(file)) == ("Nothing to do.\n", "")
    for model in (Upstream, ModelAlias, VirtualKey, Routing):
        model.objects.all().delete()
    assert run(capsys, "apply", str(file), "--yes")[0].startswith("+ upstream")
    assert run(capsys, "apply", str(file))[0] == "Nothing to do.\n"
    assert run(capsys, "export")[0] == text


def test_a_zero_is_exported_and_shown(capsys: Any, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that may have no call at all must not come back as one without a limit."""
    free = row("free", rpm=0, tpm=0, input_cost_per_token=0)
    keys = "  keys: [{name: none, secret: os.environ/CI_KEY, max_parallel_requests: 0}]\n"
    said = apply(wanted(f"{rows(free)}gateway:\n  routing: {{cooldown_seconds: 0}}\n{keys}")).lines()
    assert said[1].endswith("input_cost_per_token 0, rpm 0, tpm 0")
    assert said[3].endswith("max_parallel_requests 0")
    Routing.objects.update(prefix_bytes=0)
    file.write_text(run(capsys, "export")[0])
    monkeypatch.setitem(os.environ, "SECRET_OF_NONE", SECRET)
    assert run(capsys, "apply", str(file)) == ("Nothing to do.\n", "")
    for model in (Upstream, VirtualKey, Routing):
        model.objects.all().delete()
    run(capsys, "apply", str(file), "--yes")
    assert VirtualKey.objects.get().max_parallel_requests == 0
    assert (Routing.current().cooldown_seconds, Routing.current().prefix_bytes) == (0, 0)
    assert (Deployment.objects.get().rpm, Deployment.objects.get().input_cost_per_token) == (0, 0)


LIMITED = """
gateway:
  keys:
    - {name: ci, secret: os.environ/CI_KEY, team_id: red, rpm_limit: 60, tpm_limit: 9000, max_parallel_requests: 2,
       model_rpm_limit: {qwen-*: 5}, model_tpm_limit: {qwen-*: 500}, max_budget: 12.5, budget_duration: 30d,
       budget_limits: [{budget_duration: 1d, max_budget: 0.75}],
       model_max_budget: {big: {budget_limit: 5, time_period: 1d}},
       soft_budget: 10, token_budget: 5000000, token_budget_duration: 1d, shadow_limits: [tpm_limit],
       allowed_routes: [/vllm/*], allowed_ips: [10.0.0.0/8]}
"""


def test_a_key_of_the_file_has_all_the_limits_that_a_key_may_have(
    capsys: Any, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (said,) = lines(LIMITED)
    assert "rpm_limit 60" in said
    assert "max_budget 12.5" in said
    key = VirtualKey.objects.get()
    assert (key.team_id, key.rpm_limit, key.tpm_limit, key.max_parallel_requests) == ("red", 60, 9000, 2)
    assert (key.max_budget, key.budget_duration, key.soft_budget) == (Decimal("12.5"), "30d", Decimal(10))
    assert (key.token_budget, key.token_budget_duration) == (5_000_000, "1d")
    assert key.model_max_budget == {"big": {"budget_limit": 5, "time_period": "1d"}}
    assert (key.allowed_routes, key.allowed_ips, key.shadow_limits) == (["/vllm/*"], ["10.0.0.0/8"], ["tpm_limit"])
    assert lines(LIMITED) == []
    monkeypatch.setitem(os.environ, "SECRET_OF_CI", SECRET)
    file.write_text(run(capsys, "export")[0])
    assert run(capsys, "apply", str(file)) == ("Nothing to do.\n", "")
    assert lines(LIMITED.replace("rpm_limit: 60", "rpm_limit: 0")) == ["~ virtual key ci: rpm_limit 60 → 0"]


@pytest.mark.parametrize(
    ("slip", "sentence"),
    [
        ("budget_duration: fortnight", "gateway.keys[0].budget_duration is not right. Not a period"),
        ("rpm_limit: -1", "gateway.keys[0].rpm_limit must be a whole number from 0"),
        ("max_budget: -1", "gateway.keys[0].max_budget must be a number from 0"),
        (
            "budget_limits: [{max_budget: much}]",
            "gateway.keys[0].budget_limits is not right. Must be a list of budgets",
        ),
        ("budget_limits: daily", "gateway.keys[0].budget_limits must be a list"),
        ("shadow_limits: [moon]", "gateway.keys[0].shadow_limits is not right. Must be a list of these"),
        ("allowed_ips: [here]", "gateway.keys[0].allowed_ips is not right. Must be a list of addresses"),
        ("model_rpm_limit: {m: many}", "gateway.keys[0].model_rpm_limit is not right. Must be a JSON object"),
    ],
)
def test_a_limit_that_is_none_is_refused_with_its_line(slip: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        wanted(f"gateway:\n  keys:\n    - {{name: ci, secret: os.environ/CI_KEY, {slip}}}\n")


def test_a_name_that_lists_leave_out_is_refused() -> None:
    sentence = "gateway.keys[0].name must not begin with “playground of ”: such names are for the playground's keys."
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        wanted("gateway:\n  keys:\n    - {name: Playground of ci, secret: os.environ/CI_KEY}\n")


def test_an_empty_installation_exports_a_file_too(capsys: Any, file: Path) -> None:
    text, _ = run(capsys, "export")
    file.write_text(text)
    assert run(capsys, "apply", str(file)) == ("Nothing to do.\n", "")
