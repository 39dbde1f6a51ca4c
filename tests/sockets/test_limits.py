"""Limits, budgets and cost over real sockets: exact under concurrency, on every face, kept over a crash."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.support import answers, vllm
from tests.support.gateway import Gateway
from tests.support.http_client import Response
from tests.support.patience import PATIENCE, in_one_minute, wait_for
from tests.support.upstream import Upstream

CHAT = "/vllm/v1/chat/completions"
_SETUP = """
from upstreams.models import Deployment, Upstream
upstream = Upstream.objects.get(name="environment")
Deployment.objects.create(
    upstream=upstream, alias="priced", served_name="tiny-chat",
    input_cost_per_token="0.001", output_cost_per_token="0.002", cost_per_request="0.5",
)
Deployment.objects.create(upstream=upstream, alias="free", served_name="tiny-chat")
"""


@pytest.fixture(scope="module")
def standing() -> Iterator[Upstream]:
    with Upstream() as upstream:
        vllm.serve(upstream)
        yield upstream


@pytest.fixture(scope="module")
def gateway(standing: Upstream) -> Iterator[Gateway]:
    with Gateway(HOSTED_VLLM_API_BASE=standing.url) as gateway:
        gateway.shell(_SETUP)
        wait_for(lambda: "priced" in str(gateway.call("GET", "/v1/models").json()))
        yield gateway


@pytest.fixture
def upstream(standing: Upstream) -> Upstream:
    standing.forget()
    vllm.serve(standing)
    return standing


def chat(gateway: Gateway, key: str, target: str = CHAT, **fields: Any) -> Response:
    return gateway.post(target, {"model": "free", "messages": [], **fields}, key=key)


def together(gateway: Gateway, key: str, calls: int, each: int = 1, **fields: Any) -> Counter[int]:
    """The statuses of so many calls that begin at once, each followed by others on its connection's thread."""
    statuses: list[int] = []
    start = threading.Barrier(calls)

    def ask() -> None:
        start.wait(PATIENCE)
        for _ in range(each):
            statuses.append(chat(gateway, key, **fields).status)  # noqa: PERF401 - as they come

    threads = [threading.Thread(target=ask) for _ in range(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(statuses)


def test_of_eight_first_calls_one_is_let_through(gateway: Gateway, upstream: Upstream) -> None:
    secret = gateway.make_key(rpm_limit=1)
    assert together(gateway, secret, 8) == {200: 1, 429: 7}


def test_of_a_thousand_calls_a_hundred_are_let_through(gateway: Gateway, upstream: Upstream) -> None:
    found = in_one_minute(lambda: together(gateway, gateway.make_key(rpm_limit=100), 8, each=125))
    assert found == {200: 100, 429: 900}


def test_the_holder_of_a_key_sees_what_is_left_of_its_minute(gateway: Gateway, upstream: Upstream) -> None:
    secret = gateway.make_key(rpm_limit=5, tpm_limit=1_000, max_parallel_requests=2)
    assert [chat(gateway, secret).status for _ in range(2)] == [200, 200]
    wait_for(lambda: gateway.call("GET", "/me", key=secret).json()["limits"][0]["used"] == 0)
    lines = {one["limit"]: one for one in gateway.call("GET", "/me", key=secret).json()["limits"]}
    assert (lines["rpm_limit"]["used"], lines["rpm_limit"]["left"]) == (2, 3)
    assert lines["tpm_limit"]["used"] > 0
    assert lines["max_parallel_requests"]["left"] == 2


@pytest.mark.parametrize("target", [CHAT, "/v1/chat/completions", "/chat/completions"])
@pytest.mark.parametrize("stream", [True, False])
def test_every_face_counts_and_tells_what_is_left(
    gateway: Gateway, upstream: Upstream, target: str, stream: bool
) -> None:
    secret = gateway.make_key(rpm_limit=2)
    first = chat(gateway, secret, target, stream=stream)
    assert (first.status, first.header("x-ratelimit-limit-requests")) == (200, "2")
    assert first.header("x-ratelimit-remaining-requests") == "1"
    chat(gateway, secret, target, stream=stream)
    refused = chat(gateway, secret, target, stream=stream)
    assert (refused.status, refused.json()["error"]["type"]) == (429, "throttling_error")
    assert refused.header("x-ratelimit-remaining-requests") == "0"
    seconds = int(refused.header("retry-after") or 0)
    assert 0 < seconds <= 60
    row = gateway.row(refused)
    assert (row["outcome"], row["status"], row["upstream_name"]) == ("refused", 429, None)


def test_tokens_are_reserved_before_and_booked_after(gateway: Gateway, upstream: Upstream) -> None:
    secret = gateway.make_key(tpm_limit=100)
    first = chat(gateway, secret, max_tokens=50)
    assert (first.status, first.header("x-ratelimit-limit-tokens")) == (200, "100")
    used = first.json()["usage"]["total_tokens"]
    wait_for(lambda: gateway.call("GET", "/me", key=secret).json()["limits"][0]["used"] == used)
    second = chat(gateway, secret, max_tokens=1)
    left = int(second.header("x-ratelimit-remaining-tokens") or -1)
    assert 100 - used - 30 < left < 100 - used  # what the first really used, and what the second may


def test_a_stream_in_flight_holds_its_reservation(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", answers.endless(vllm.chat_events()[1], gap=0.05))
    secret = gateway.make_key(tpm_limit=1000)
    with gateway.connect() as client:
        body = b'{"model":"free","messages":[],"stream":true,"max_tokens":5000}'
        client.request("POST", CHAT, gateway.headers(secret), body)
        client.read_head()
        vllm.serve(upstream)
        assert chat(gateway, secret).status == 429
    wait_for(lambda: chat(gateway, secret, max_tokens=1).status == 200)


def test_what_a_call_costs_is_told_and_kept(gateway: Gateway, upstream: Upstream) -> None:
    secret = gateway.make_key()
    response = chat(gateway, secret, model="priced")
    usage = response.json()["usage"]
    expected = (
        Decimal("0.001") * usage["prompt_tokens"] + Decimal("0.002") * usage["completion_tokens"] + Decimal("0.5")
    )
    assert Decimal(response.header("x-gateway-cost") or 0) == expected
    assert response.header("x-litellm-response-cost") == response.header("x-gateway-cost")
    assert Decimal(str(gateway.row(response)["cost"])) == expected
    streamed = chat(gateway, secret, model="priced", stream=True)
    assert streamed.header("x-gateway-cost") is None
    assert Decimal(str(gateway.row(streamed)["cost"])) > Decimal("0.5")


def test_without_a_price_there_is_no_cost(gateway: Gateway, upstream: Upstream) -> None:
    response = chat(gateway, gateway.make_key())
    assert (response.header("x-gateway-cost"), gateway.row(response)["cost"]) == (None, None)


def test_a_refused_call_of_a_priced_model_costs_nothing(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", answers.json(400, {"error": {"message": "no"}}))
    response = chat(gateway, gateway.make_key(), model="priced")
    assert (response.status, Decimal(str(gateway.row(response)["cost"]))) == (400, 0)


def test_a_budget_ends_in_a_422_and_survives_a_crash(standing: Upstream) -> None:
    upstream = standing
    vllm.serve(upstream)
    with Gateway(HOSTED_VLLM_API_BASE=upstream.url) as gateway:
        gateway.shell(_SETUP)
        secret = gateway.make_key(max_budget=0.6)
        first = chat(gateway, secret, model="priced", max_tokens=1)
        assert first.status == 200
        while (response := chat(gateway, secret, model="priced", max_tokens=1)).status == 200:
            assert Decimal(str(gateway.row(response)["cost"])) > 0
        assert (response.status, response.json()["error"]["type"]) == (422, "budget_exceeded")
        assert chat(gateway, secret, model="free").status == 422  # it is the key's, whatever the model costs
        wait_for(lambda: gateway.ready()["journal"]["backlog_bytes"] == 0)
        gateway.kill()
        gateway.start()
        gateway.wait_until_ready()
        assert chat(gateway, secret, model="priced", max_tokens=1).status == 422


def test_a_team_s_limits_hold_for_all_its_keys(gateway: Gateway, upstream: Upstream) -> None:
    gateway.shell('from keys.models import Team; Team.objects.create(team_id="red", rpm_limit=2, models=["free"])')
    one, two = (gateway.make_key(team_id="red") for _ in range(2))
    assert [chat(gateway, key).status for key in (one, two, one, two)] == [200, 200, 429, 429]
    assert chat(gateway, one, model="priced").status == 403
    gateway.shell('from keys.models import Team; Team.objects.filter(team_id="red").update(blocked=True)')
    wait_for(lambda: chat(gateway, one).status == 401)
    assert "Team=red is blocked" in chat(gateway, two).json()["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "fields", "named"),
    [
        ({"x-end-user-id": "ann"}, {"user": "bob"}, "ann"),
        ({"x-litellm-customer-id": "cy"}, {}, "cy"),
        ({"X-OpenWebUI-User-Email": "dan%40example.com"}, {}, "dan@example.com"),
        ({}, {"user": "bob"}, "bob"),
        ({}, {"safety_identifier": "eve"}, "eve"),
    ],
)
def test_the_end_user_is_found(
    gateway: Gateway, upstream: Upstream, key: str, headers: dict[str, str], fields: dict[str, str], named: str
) -> None:
    response = gateway.post(CHAT, {"model": "free", "messages": [], **fields}, list(headers.items()), key=key)
    assert gateway.row(response)["end_user"] == named


@pytest.fixture(scope="module")
def key(gateway: Gateway) -> str:
    return gateway.make_key()


def test_a_blocked_end_user_is_refused(gateway: Gateway, upstream: Upstream, key: str) -> None:
    gateway.shell('from keys.models import EndUser; EndUser.objects.create(end_user_id="mallory", blocked=True)')
    refused = wait_for(lambda: (one := chat(gateway, key, user="mallory")).status == 403 and one)
    assert refused.json()["error"]["type"] == "end_user_blocked"
    assert chat(gateway, key, user="alice").status == 200


def test_an_end_user_has_limits_too(gateway: Gateway, upstream: Upstream, key: str) -> None:
    gateway.shell("""
from keys.models import EndUser
EndUser.objects.create(end_user_id="heavy", rpm_limit=2)
EndUser.objects.create(end_user_id="last", blocked=True)
""")
    wait_for(lambda: chat(gateway, key, user="last").status == 403)  # so it has heard of the other, too
    statuses = [chat(gateway, key, user=user).status for user in ("heavy", "heavy", "heavy", "light")]
    assert statuses == [200, 200, 429, 200]


def test_a_limit_in_shadow_is_reported_and_refuses_nothing(gateway: Gateway, upstream: Upstream) -> None:
    secret = gateway.make_key(rpm_limit=2, shadow_limits=["rpm_limit"])
    responses = [chat(gateway, secret) for _ in range(3)]
    assert [response.status for response in responses] == [200] * 3
    told = [gateway.row(response)["shadowed"] for response in responses]
    assert [json.loads(one) if isinstance(one, str) else one for one in told] == [[], [], ["rpm_limit"]]


def test_routes_and_networks_are_limited(gateway: Gateway, upstream: Upstream) -> None:
    routes = gateway.make_key(allowed_routes=["/v1/*"])
    refused = chat(gateway, routes)
    assert (refused.status, refused.json()["error"]["type"]) == (403, "key_route_access_denied")
    assert chat(gateway, routes, "/v1/chat/completions").status == 200
    networks = chat(gateway, gateway.make_key(allowed_ips=["10.0.0.0/8"]))
    assert (networks.status, networks.json()["error"]["type"]) == (403, "key_address_access_denied")
    assert chat(gateway, gateway.make_key(allowed_ips=["127.0.0.0/8"])).status == 200


def test_what_was_spent_counts_until_it_is_set_anew(gateway: Gateway, upstream: Upstream) -> None:
    secret = gateway.make_key(max_budget=2, spend=2, budget_limits=[{"max_budget": 5, "budget_duration": "1h"}])
    refused = wait_for(lambda: (one := chat(gateway, secret)).status == 422 and one)
    assert "Current cost: 2, Max budget: 2" in refused.json()["error"]["message"]
    assert gateway.key_api(f"{secret}/reset_spend", reset_to=1)["previous_spend"] == 2.0
    response = wait_for(lambda: (one := chat(gateway, secret, model="priced", max_tokens=1)).status == 200 and one)
    gateway.row(response)
    cost = float(response.header("x-gateway-cost") or 0)
    told = gateway.call("GET", "/key/info", key=secret).json()["info"]
    assert (told["spend"], told["max_budget"]) == (pytest.approx(1 + cost), 2.0)


def test_a_regenerated_key_keeps_its_limits(gateway: Gateway, upstream: Upstream) -> None:
    old = gateway.make_key(rpm_limit=3)
    new = gateway.key_api("regenerate", key=old, grace_period="1h")["key"]
    assert [chat(gateway, secret).status for secret in (old, new, new, old)] == [200, 200, 200, 429]
    newest = gateway.key_api(f"{new}/regenerate", rpm_limit=100)["key"]
    assert chat(gateway, newest).status == 200
    wait_for(lambda: chat(gateway, new).status == 401)


def test_every_address_of_the_key_api_is_the_control_plane_s(gateway: Gateway) -> None:
    secret = gateway.make_key(key_alias="several")
    body = gateway.post("/v2/key/info", {"key_aliases": ["several"]}).json()
    assert [info["key_alias"] for info in body["info"]] == ["several"]
    assert gateway.call("POST", "/key/health", key=secret).json()["key"] == "healthy"
    assert "several" in gateway.call("GET", "/key/aliases?search=sever").json()["aliases"]


def test_the_list_of_models_is_what_the_team_may_use_too(gateway: Gateway, upstream: Upstream) -> None:
    gateway.shell('from keys.models import Team; Team.objects.create(team_id="narrow", models=["pri*"])')
    secret = gateway.make_key(team_id="narrow")
    listed = gateway.call("GET", "/v1/models", key=secret).json()["data"]
    assert [row["id"] for row in listed] == ["priced"]


@pytest.mark.parametrize("target", [CHAT, "/v1/chat/completions"])
@pytest.mark.parametrize("limited", ["free", "tiny-*"])
def test_a_model_s_limit_holds_for_calls_that_name_no_model(
    gateway: Gateway, upstream: Upstream, target: str, limited: str
) -> None:
    secret = gateway.make_key(model_rpm_limit={limited: 1, "other": 0})
    bodies: list[dict[str, Any]] = [{}, {"model": None}, {"model": ""}]
    statuses = [gateway.post(target, {"messages": [], **one}, key=secret).status for one in bodies]
    assert statuses == [200, 429, 429]
    assert gateway.post(f"{target}?model=absent", {"messages": []}, key=secret).status in (404, 429)


def test_a_model_s_limit_holds_for_a_body_that_cannot_be_read(gateway: Gateway, upstream: Upstream) -> None:
    secret = gateway.make_key(model_rpm_limit={"free": 1})
    body = '{"model":"free","messages":[]}'.encode("utf-16")  # json.loads, which vLLM uses, reads it
    json_type = [("content-type", "application/json")]
    statuses = [gateway.call("POST", CHAT, json_type, body, key=secret).status for _ in range(2)]
    assert statuses[1] == 429
