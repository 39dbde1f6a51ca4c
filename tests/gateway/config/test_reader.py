"""From text to what should be there."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.config.document import ConfigError
from gateway.config.reader import Configuration, read_text
from gateway.config.wanted import AliasSpec, DeploymentSpec, UpstreamSpec
from tests.gateway.config.seeds import FORK, LITELLM, row, rows

ENVIRONMENT = {"BASE": "http://env:8000/v1", "SECRET": "from-the-environment", "NUMBER": "7"}


def read(text: str, **environment: str) -> Configuration:
    return read_text(text, ENVIRONMENT | environment)


def refused(text: str, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text, **environment)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- model_list -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [LITELLM, FORK])
def test_the_examples_of_litellm_and_of_the_fork_are_one_upstream_with_one_model(text: str) -> None:
    found = read(text)
    deployment = DeploymentSpec(alias="my-vllm-model", served_name="vllm-1.72")
    assert found.wanted.upstreams == (UpstreamSpec(url="https://my-vllm-server.com", deployments=(deployment,)),)
    assert (found.warnings, found.has_start_settings) == ((), False)


def test_every_parameter_is_read() -> None:
    text = rows(
        row(
            api_key="os.environ/SECRET",
            rpm="os.environ/NUMBER",
            tpm=9,
            weight=3,
            timeout=60,
            stream_timeout=5.5,
            input_cost_per_token="1e-7",
            output_cost_per_token=0.0000002,
            cache_read_input_token_cost=1e-8,
            cost_per_request=0.5,
            price_per_hour=2.5,
        )
    )
    (upstream,) = read(text).wanted.upstreams
    (deployment,) = upstream.deployments
    assert (upstream.credential, upstream.total_timeout, upstream.idle_timeout) == ("from-the-environment", 60, 5.5)
    assert (deployment.rpm, deployment.tpm, deployment.weight) == (7, 9, 3)
    assert deployment.input_cost_per_token == Decimal("0.0000001")
    assert deployment.output_cost_per_token == Decimal("0.0000002")
    assert (deployment.cache_read_input_token_cost, deployment.cost_per_request) == (Decimal("1e-8"), Decimal("0.5"))
    assert upstream.price_per_hour == Decimal("2.5")


@pytest.mark.parametrize(
    ("given", "price", "without_effect"),
    [
        ({"output_cost_per_second": 3}, 3, []),
        ({"input_cost_per_second": 2}, 2, []),
        ({"output_cost_per_second": 3, "input_cost_per_second": 0}, 0, ["output_cost_per_second"]),
        (
            {"output_cost_per_second": 3, "cost_per_second": 1, "input_cost_per_second": 2},
            1,
            ["input_cost_per_second", "output_cost_per_second"],
        ),
    ],
)
def test_a_second_has_one_price_under_three_names(given: dict[str, int], price: int, without_effect: list[str]) -> None:
    found = read(rows(row(**given)))
    assert found.wanted.upstreams[0].deployments[0].cost_per_second == price
    assert [warning.partition(" has no effect")[0].rpartition(".")[2] for warning in found.warnings] == without_effect


def test_a_price_in_the_info_is_kept_and_said_to_have_no_effect() -> None:
    found = read(rows(row()[:-2] + ", model_info: {input_cost_per_token: 0, mode: chat}}\n"))
    (deployment,) = found.wanted.upstreams[0].deployments
    assert (deployment.info["input_cost_per_token"], deployment.input_cost_per_token) == (0, None)
    assert "model_info.input_cost_per_token is kept and has no effect" in found.warnings[0]


def test_of_several_prices_of_one_server_the_highest_holds_with_a_warning() -> None:
    found = read(rows(row("a", price_per_hour=2), row("b", price_per_hour=3), row("c")))
    assert found.wanted.upstreams[0].price_per_hour == 3
    assert "the highest, 3, holds" in found.warnings[0]


def test_rows_of_one_address_and_credential_share_an_upstream() -> None:
    found = read(rows(row("a"), row("b", base="http://a:1/v1/"), row("c", api_key="x"), row("a", base="http://b:1")))
    shape = [[one.alias for one in upstream.deployments] for upstream in found.wanted.upstreams]
    assert shape == [["a", "b"], ["c"], ["a"]]


@pytest.mark.parametrize("served", ["vllm/org/name", "hosted_vllm/org/name", "openai/org/name"])
def test_what_stands_behind_the_provider_is_the_served_name(served: str) -> None:
    assert read(rows(row(served=served))).wanted.upstreams[0].deployments[0].served_name == "org/name"


def test_a_provider_may_stand_apart() -> None:
    found = read(rows(row(served="org/name", custom_llm_provider="hosted_vllm")))
    assert found.wanted.upstreams[0].deployments[0].served_name == "org/name"


def test_without_an_address_the_environment_s_server_is_meant_with_its_credential() -> None:
    text = "model_list:\n  - {model_name: m, litellm_params: {model: hosted_vllm/s}}"
    found = read(text, HOSTED_VLLM_API_BASE="http://env:8000/v1", HOSTED_VLLM_API_KEY="k")
    assert [(one.url, one.credential) for one in found.wanted.upstreams] == [("http://env:8000", "k")]
    assert "HOSTED_VLLM_API_BASE is not set" in refused(text)


def test_the_environment_s_credential_goes_to_no_other_server() -> None:
    found = read(rows(row()), HOSTED_VLLM_API_BASE="http://env:8000", HOSTED_VLLM_API_KEY="k")
    assert found.wanted.upstreams[0].credential == ""


def test_model_info_is_kept_whole() -> None:
    text = (
        "model_list:\n  - model_name: m\n    litellm_params: {model: vllm/s, api_base: 'http://a'}\n"
        "    model_info: {id: mine, mode: chat, tags: [a], note: os.environ/SECRET}\n"
    )
    info = read(text).wanted.upstreams[0].deployments[0].info
    assert info == {"id": "mine", "mode": "chat", "tags": ["a"], "note": "from-the-environment"}


def test_fractions_among_weights_keep_their_proportions() -> None:
    found = read(rows(row(weight=0.9), row(base="http://b:1", weight=0.1), row("other", weight=2)))
    weights = [[one.weight for one in upstream.deployments] for upstream in found.wanted.upstreams]
    assert weights == [[90, 2], [10]]


def test_different_times_for_one_server_are_the_longest_with_a_warning() -> None:
    found = read(rows(row("a", timeout=60), row("b", timeout=600)))
    assert found.wanted.upstreams[0].total_timeout == 600
    assert "the longest, 600, holds" in found.warnings[0]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (row(served="anthropic/claude"), "line 2: model_list[0].litellm_params.model cannot be served"),
        (row(served="gpt-4"), "model_list[0].litellm_params.model cannot be served"),
        (row(served="hosted_vllm/"), "cannot be served"),
        (row(served="1.72"), "litellm_params.model must be text; put quotes around it."),
        (row(base="my-server:8000"), "api_base cannot be used. The URL must start with http:// or https://."),
        (row(base="os.environ/NOBODY"), "api_base is os.environ/NOBODY, but the environment variable NOBODY"),
        (row(api_key="[a]"), "api_key must be text"),
        (row(rpm="many"), "rpm must be a whole number"),
        (row(rpm=1.5), "rpm must be a whole number"),
        (row(rpm="true"), "rpm must be a whole number"),
        (row(weight=0), "weight must be a number"),
        (row(timeout=0), "timeout must be a number of seconds greater than 0"),
        (row(input_cost_per_token=-1), "input_cost_per_token must be a number from 0"),
        (row(cost_per_request="cheap"), "cost_per_request must be a number from 0"),
        (row(output_cost_per_second=1e99), "output_cost_per_second must be a number from 0"),
        (row(price_per_hour="true"), "price_per_hour must be a number from 0"),
        (row() + row(), "line 3: model_list[1].model_name stands in the list twice"),
        ("  - {model_name: m}\n", "litellm_params is missing"),
        ("  - {litellm_params: {model: vllm/s, api_base: 'http://a'}}\n", "model_name is missing"),
        ("  - {model_name: m, litellm_params: {model: vllm/a}, dheera_ai_params: {}}\n", "only one of them"),
        ("  - text\n", "line 2: model_list[0] must be a mapping."),
        ("  - {model_name: m, litellm_params: {model: openai/s}}\n", "needs an api_base"),
        (row()[:-2] + ", model_info: {id: deployment-1}}\n", "has an id that cannot be used"),
        (row()[:-2] + ', model_info: {a: "\\0"}}\n', "model_info cannot be kept"),
    ],
)
def test_a_row_that_cannot_be_served_is_an_error(line: str, sentence: str) -> None:
    assert sentence in refused(rows(line))


def test_an_error_shows_no_value() -> None:
    assert "hunter2" not in refused(rows(row(api_key="[hunter2]")))
    assert "hunter2" not in refused(rows(row(base="http://user:hunter2@host")))


# --- Warnings ---------------------------------------------------------------------------------------------------


def test_what_is_not_supported_is_named() -> None:
    text = LITELLM + (
        "      drop_params: true\n    extra: 1\n"
        "litellm_settings: {callbacks: [prometheus], cache: true}\n"
        "general_settings: {master_key: sk-1, alerting: [slack]}\n"
        "router_settings: {fallbacks: []}\n"
    )
    found = read(text)
    assert found.has_start_settings
    assert [warning.split(" is not supported")[0] for warning in found.warnings] == [
        "config.yaml, line 6: model_list[0].litellm_params.drop_params",
        "config.yaml, line 7: model_list[0].extra",
        "config.yaml, line 8: litellm_settings",
        "config.yaml, line 9: general_settings.alerting",
        "config.yaml, line 10: router_settings.fallbacks",
    ]
    assert "(callbacks, cache)" in found.warnings[2]


# --- router_settings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "ours", "warned"),
    [
        ("simple-shuffle", "weighted_round_robin", False),
        ("least-busy", "least_in_flight", False),
        ("latency-based-routing", "lowest_waiting", True),
        ("usage-based-routing-v2", "least_in_flight", True),
        ("session_affinity", "session_affinity", False),
    ],
)
def test_litellm_s_strategies_have_ours(given: str, ours: str, warned: bool) -> None:
    found = read(f"router_settings: {{routing_strategy: {given}}}")
    assert found.wanted.routing == {"strategy": ours}
    assert bool(found.warnings) is warned


def test_the_router_s_numbers_are_ours() -> None:
    found = read("router_settings: {num_retries: 2, cooldown_time: 30, allowed_fails: 3}")
    assert found.wanted.routing == {"most_attempts": 3, "cooldown_seconds": 30, "failures_before_cooldown": 4}


def test_group_aliases_stand_for_models() -> None:
    found = read("router_settings: {model_group_alias: {gpt-4: m, fast: {model: m, hidden: true}}}")
    assert found.wanted.aliases == (AliasSpec(name="gpt-4", stands_for="m"), AliasSpec(name="fast", stands_for="m"))
    assert "fast.hidden is not supported" in found.warnings[0]


@pytest.mark.parametrize(
    "inner",
    [
        "routing_strategy: magic",
        "num_retries: -1",
        "model_group_alias: {m: m}",
        "model_group_alias: [m]",
        "cooldown_time: x",
    ],
)
def test_a_wrong_router_setting_is_an_error(inner: str) -> None:
    assert "router_settings." in refused(f"router_settings: {{{inner}}}")


# --- gateway ----------------------------------------------------------------------------------------------------

OWN = """\
gateway:
  upstreams:
    - {name: chat, url: http://a:1/v1, credential: os.environ/SECRET, state: draining, default: true,
       max_parallel: 8, connect_timeout: 1, first_byte_timeout: 2, idle_timeout: 3, total_timeout: 4}
  deployments:
    - {upstream: chat, alias: m, served_name: s, weight: 2, hidden: true, rpm: 1, tpm: 2, info: {mode: chat},
       input_cost_per_token: 0.1, output_cost_per_token: 0.2}
    - {upstream: chat, alias: n}
  aliases:
    - {name: fast, stands_for: m, strategy: prefix_affinity, prefix_bytes: 64}
  routing: {strategy: lowest_waiting, most_attempts: 2, cooldown_seconds: 9, failures_before_cooldown: 2}
  keys:
    - {name: ci, secret: os.environ/CI_KEY, models: [m], user_id: ann, max_parallel_requests: 2}
"""
CI_KEY = "sk-0123456789abcdefghij"


def test_the_section_of_our_own_says_the_rest() -> None:
    wanted = read(OWN, CI_KEY=CI_KEY).wanted
    (upstream,) = wanted.upstreams
    assert (upstream.name, upstream.url, upstream.credential) == ("chat", "http://a:1", "from-the-environment")
    assert (upstream.state, upstream.is_default, upstream.max_parallel) == ("draining", True, 8)
    assert (upstream.connect_timeout, upstream.total_timeout) == (1, 4)
    assert [(one.alias, one.served_name) for one in upstream.deployments] == [("m", "s"), ("n", "n")]
    assert wanted.aliases == (AliasSpec(name="fast", stands_for="m", strategy="prefix_affinity", prefix_bytes=64),)
    assert wanted.routing["strategy"] == "lowest_waiting"
    assert (wanted.keys[0].secret, wanted.keys[0].models) == (CI_KEY, ("m",))
    assert CI_KEY not in repr(wanted)
    assert "from-the-environment" not in repr(wanted)


def test_a_row_of_the_list_joins_the_upstream_of_its_address() -> None:
    wanted = read(OWN + rows(row("x", api_key="os.environ/SECRET")), CI_KEY=CI_KEY).wanted
    assert [[one.alias for one in upstream.deployments] for upstream in wanted.upstreams] == [["m", "n", "x"]]


@pytest.mark.parametrize(
    ("inner", "sentence"),
    [
        ("colour: red", "gateway.colour is not known here"),
        ("upstreams: [{name: a, url: http://a, max_paralel: 1}]", "max_paralel is not known here; known are"),
        ("upstreams: [{name: a, url: http://a}, {name: a, url: http://b}]", "name of another upstream too"),
        ("upstreams: [{name: a, url: http://a, default: true}, {name: b, url: http://b, default: true}]", "only one"),
        ("upstreams: [{name: a, url: http://a, state: asleep}]", "must be one of active, draining, disabled"),
        ("upstreams: [{name: a}]", "gateway.upstreams[0].url is missing"),
        ("deployments: [{upstream: a, alias: m}]", "is not the name of one of gateway.upstreams"),
        ("aliases: [{name: a, strategy: magic}]", "strategy must be one of"),
        ("aliases: [{name: a, stands_for: a}]", "cannot be the alias itself"),
        ("aliases: [{name: a}, {name: a}]", "says a twice"),
        ("keys: [{name: a, secret: sk-in-plain-text-0123456789}]", "must be os.environ/NAME"),
        ("keys: [{name: a, secret: os.environ/SECRET}]", "cannot be a virtual key"),
        ("routing: {most_attempts: 0}", "most_attempts must be a whole number from 1"),
    ],
)
def test_a_slip_in_our_own_section_is_an_error(inner: str, sentence: str) -> None:
    message = refused(f"gateway:\n  {inner}\n")
    assert sentence in message
    assert message.startswith("config.yaml, line 2: ")
