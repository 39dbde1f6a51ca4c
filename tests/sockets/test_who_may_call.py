"""Keys, classes, models and places, as a caller meets them."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from typing import Any

import pytest

from tests.support import answers, vllm
from tests.support.exchange import Behaviour
from tests.support.gateway import Gateway
from tests.support.http_client import HttpClient, Response, call
from tests.support.patience import TRIES, kept_within, wait_for
from tests.support.upstream import Upstream

CHAT = "/vllm/v1/chat/completions"
ENDLESS: Behaviour = answers.endless(vllm.chat_events()[1], gap=0.05)


def _error(response: Response) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    return response.status, error["type"], error["param"]


def _open_stream(gateway: Gateway, key: str, name: str = "") -> tuple[HttpClient, Any]:
    client = gateway.connect()
    given = [*gateway.headers(key), *([("x-request-id", name)] if name else [])]
    client.request("POST", CHAT, given, json.dumps({"model": "tiny-chat", "stream": True}).encode())
    return client, client.read_head()


# --- Keys ---------------------------------------------------------------------------------------------------


def test_a_new_key_works_at_once(gateway: Gateway, upstream: Upstream) -> None:
    assert gateway.post(CHAT, {"model": "tiny-chat"}, key=gateway.make_key()).status == 200


def test_the_master_key_may_call(gateway: Gateway, upstream: Upstream) -> None:
    response = gateway.call("GET", "/vllm/version")
    assert response.status == 200
    assert gateway.row(response)["key_name"] == "master key"


def test_a_call_without_a_key_is_refused(gateway: Gateway) -> None:
    assert _error(call(gateway.port, "GET", "/vllm/health")) == (401, "auth_error", None)


@pytest.mark.parametrize("secret", ["sk-vgw-" + "x" * 36, "sk-not-known-at-all-0123456789"])
def test_an_unknown_key_is_refused_without_an_echo(gateway: Gateway, secret: str) -> None:
    response = gateway.call("GET", "/vllm/health", key=secret)
    assert _error(response) == (401, "token_not_found_in_db", "key")
    assert secret not in response.body.decode()
    assert not gateway.rows("request_id = ?", response.header("x-request-id"))


def test_calls_with_unknown_keys_are_counted(gateway: Gateway) -> None:
    before = gateway.ready()["unknown_keys"]
    gateway.call("GET", "/vllm/health", key="sk-not-known-at-all-0123456789")
    assert gateway.ready()["unknown_keys"] == before + 1


def test_refusals_of_the_key_api_are_counted_too(gateway: Gateway, key: str) -> None:
    def counted() -> Counter[str]:
        rows = gateway.query("SELECT reason, SUM(calls) AS calls FROM gateway_unlistedcalls GROUP BY reason")
        return Counter({row["reason"]: int(row["calls"]) for row in rows})

    def more() -> Counter[str]:
        before = counted()
        for secret in (key, "sk-not-known-at-all-0123456789"):
            assert gateway.call("POST", "/key/generate", body=b"{}", key=secret).status == 401
        wait_for(lambda: {"no_manager", "unknown"} <= set(counted() - before))
        return counted() - before

    # Those of a test before this one may be counted late.
    assert any(more() == {"no_manager": 1, "unknown": 1} for _ in range(TRIES))


@pytest.mark.parametrize("header", ["x-litellm-api-key", "api-key", "x-api-key", "authorization"])
def test_a_key_may_come_in_any_of_the_headers(gateway: Gateway, upstream: Upstream, key: str, header: str) -> None:
    given = f"Bearer {key}" if header == "authorization" else key
    assert call(gateway.port, "GET", "/vllm/version", [(header, given)]).status == 200


def test_an_expired_key_is_refused(gateway: Gateway, upstream: Upstream) -> None:
    secret = gateway.make_key(duration="1s")
    wait_for(lambda: gateway.call("GET", "/vllm/version", key=secret).status == 401)
    status, kind, param = _error(gateway.call("GET", "/vllm/version", key=secret))
    assert (status, kind, param) == (401, "expired_key", f"sk-...{secret[-4:]}")


def test_the_refusal_of_a_blocked_key_has_a_row(gateway: Gateway) -> None:
    response = gateway.call("GET", "/vllm/health", key=gateway.make_key(key_alias="locked out", blocked=True))
    assert response.status == 401
    row = gateway.row(response)
    assert (row["key_name"], row["outcome"], row["status"]) == ("locked out", "refused", 401)


@pytest.mark.parametrize(("verb", "fields"), [("block", "key"), ("delete", "keys")])
def test_a_key_that_is_blocked_or_deleted_is_refused_within_a_second(
    gateway: Gateway, upstream: Upstream, verb: str, fields: str
) -> None:
    def once() -> float:
        secret = gateway.make_key()
        assert gateway.call("GET", "/vllm/version", key=secret).status == 200
        gateway.key_api(verb, **{fields: [secret] if fields == "keys" else secret})
        told_at = time.monotonic()
        wait_for(lambda: gateway.call("GET", "/vllm/version", key=secret).status == 401)
        return time.monotonic() - told_at

    kept_within(1, once)


@pytest.mark.parametrize(("verb", "fields"), [("block", "key"), ("delete", "keys")])
def test_the_running_stream_of_a_revoked_key_is_cut_within_two_seconds(
    gateway: Gateway, upstream: Upstream, verb: str, fields: str
) -> None:
    upstream.on("POST /v1/chat/completions", ENDLESS)

    def once() -> float:
        secret = gateway.make_key()
        name = f"revoked-{secret[-8:]}"
        client, head = _open_stream(gateway, secret, name)
        with client:
            gateway.key_api(verb, **{fields: [secret] if fields == "keys" else secret})
            told_at = time.monotonic()
            chunks = list(client.read_chunks(head))
            took = time.monotonic() - told_at
            assert client.end == "cut"
        assert b"revoked" in chunks[-1].data
        row = gateway.row(name)
        assert (row["outcome"], row["error_type"], row["status"]) == ("revoked", "auth_error", 200)
        return took

    kept_within(2, once)


def test_a_revoked_key_s_call_that_waits_for_its_head_is_told_so(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", answers.silence())
    secret = gateway.make_key()
    with gateway.connect() as client:
        client.request("POST", CHAT, [*gateway.headers(secret), ("x-request-id", "waiting")], b"{}")
        upstream.request_with_id("waiting")
        gateway.key_api("block", key=secret)
        response = client.read_response()
    assert _error(response) == (401, "auth_error", None)
    assert gateway.row("waiting")["outcome"] == "revoked"


def test_streams_of_other_keys_go_on(gateway: Gateway, upstream: Upstream, key: str) -> None:
    upstream.on("POST /v1/chat/completions", ENDLESS)
    secret = gateway.make_key()
    client, head = _open_stream(gateway, key)
    other, other_head = _open_stream(gateway, secret)
    with client, other:
        gateway.key_api("block", key=secret)
        list(other.read_chunks(other_head))
        chunks = client.read_chunks(head)
        for _ in range(5):
            assert b"data:" in next(chunks).data


# --- Classes and models -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/sleep"), ("POST", "/SLEEP/"), ("GET", "/docs"), ("POST", "/unknown"), ("DELETE", "/x")],
)
def test_server_control_needs_to_be_granted(
    gateway: Gateway, upstream: Upstream, key: str, method: str, path: str
) -> None:
    upstream.on("*", answers.json(200, {}))
    response = gateway.call(method, f"/vllm{path}", key=key)
    assert _error(response) == (403, "key_route_access_denied", None)
    assert gateway.row(response)["outcome"] == "refused"
    assert not [request for request in upstream.calls if request.method != "GET"]


def test_a_key_that_was_granted_server_control_has_it(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("*", answers.json(200, {}))
    secret = gateway.make_key(endpoint_classes=["inference", "monitoring", "server_control"])
    assert gateway.call("POST", "/vllm/sleep", key=secret).status == 200


def test_a_key_may_use_the_models_of_its_list(gateway: Gateway, upstream: Upstream) -> None:
    secret = gateway.make_key(models=["tiny-*"])
    assert gateway.post(CHAT, {"model": "tiny-chat"}, key=secret).status == 200
    refused = gateway.post(CHAT, {"model": "nice-name"}, key=secret)
    assert _error(refused) == (403, "key_model_access_denied", "model")


def test_a_call_that_names_no_model_is_judged_by_what_the_default_upstream_serves(
    gateway: Gateway, upstream: Upstream
) -> None:
    wait_for(lambda: gateway.query("SELECT 1 FROM upstreams_upstream WHERE health = 'healthy' AND is_default"))
    for models, status in [(["tiny-chat"], 200), (["other"], 403)]:
        secret = gateway.make_key(models=models)
        wait_for(lambda: gateway.post(CHAT, {}, key=secret).status == status)  # noqa: B023 - called at once


def test_a_body_that_cannot_be_read_is_refused_for_a_key_with_models(gateway: Gateway, upstream: Upstream) -> None:
    secret = gateway.make_key(models=["tiny-chat"])
    response = gateway.call("POST", CHAT, body=b'{"model": "tiny-chat"', key=secret)
    assert _error(response) == (403, "key_model_access_denied", "model")


@pytest.mark.parametrize("target", [f"{CHAT}?model=mine", "/v1/chat/completions?model=mine"])
@pytest.mark.parametrize("body", [{}, {"model": "tiny-chat", "user": "x" * 70_000}])
def test_a_query_proves_no_model(gateway: Gateway, upstream: Upstream, target: str, body: Any) -> None:
    key = gateway.make_key(models=["mine"])  # vLLM reads the body alone
    assert _error(gateway.post(target, body, key=key)) == (403, "key_model_access_denied", "model")
    assert not upstream.calls


@pytest.mark.parametrize("prefix", ["/v1", "/vllm/v1"])
def test_an_engine_s_path_proves_no_model_of_a_body_that_cannot_be_read(
    gateway: Gateway, upstream: Upstream, prefix: str
) -> None:
    key, target = gateway.make_key(models=["nice-name"]), f"{prefix}/engines/nice-name/chat/completions"
    unread = gateway.post(target, {"model": "tiny-chat", "user": "x" * 70_000}, key=key)
    assert _error(unread) == (403, "key_model_access_denied", "model")
    assert gateway.post(target, {"messages": []}, key=key).status == 200


def test_a_body_that_vllm_does_not_read_proves_no_model(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("*", answers.json(200, {}))
    secret = gateway.make_key(models=["other"])
    response = gateway.call("GET", "/vllm/v1/unheard-of", body=b'{"model": "other"}', key=secret)
    assert _error(response) == (403, "key_model_access_denied", "model")
    assert not [request for request in upstream.calls if "unheard" in request.target]


# --- Places -------------------------------------------------------------------------------------------------


def _status_of(gateway: Gateway, secret: str, statuses: list[int], together: threading.Barrier) -> None:
    together.wait()
    statuses.append(gateway.post(CHAT, {"model": "tiny-chat"}, key=secret).status)


def test_one_place_is_one_place_for_eight_calls_at_once(gateway: Gateway, upstream: Upstream) -> None:
    let_go = threading.Event()
    upstream.on("POST /v1/chat/completions", answers.held(let_go, answers.json(200, {})))
    secret = gateway.make_key(max_parallel_requests=1)
    gateway.call("GET", "/vllm/version", key=secret)
    statuses: list[int] = []
    together = threading.Barrier(8)
    threads = [threading.Thread(target=_status_of, args=(gateway, secret, statuses, together)) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_for(lambda: statuses == [429] * 7)
    let_go.set()
    for thread in threads:
        thread.join()
    assert statuses[7:] == [200]
    wait_for(lambda: gateway.post(CHAT, {}, key=secret).status == 200)


def test_a_call_without_a_place_says_when_to_come_again(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", ENDLESS)
    secret = gateway.make_key(max_parallel_requests=1)
    client, _ = _open_stream(gateway, secret)
    with client:
        response = gateway.post(CHAT, {}, key=secret)
        assert _error(response) == (429, "throttling_error", None)
        assert int(response.header("retry-after") or 0) >= 1
        assert gateway.row(response)["outcome"] == "refused"


@pytest.mark.parametrize("how", ["close", "half_close", "reset"])
def test_the_place_of_a_client_that_left_is_free_again(gateway: Gateway, upstream: Upstream, how: str) -> None:
    upstream.on("POST /v1/chat/completions", ENDLESS)
    secret = gateway.make_key(max_parallel_requests=1)
    client, _ = _open_stream(gateway, secret)
    with client:
        getattr(client, how)()
        wait_for(lambda: gateway.call("GET", "/vllm/version", key=secret).status == 200)


@pytest.mark.parametrize("broken", [answers.reset(), answers.die_mid_stream([b"data: 1\n\n"])])
def test_the_place_of_a_call_that_failed_is_free_again(gateway: Gateway, upstream: Upstream, broken: Behaviour) -> None:
    upstream.on("POST /v1/chat/completions", broken)
    secret = gateway.make_key(max_parallel_requests=1)
    for _ in range(3):
        wait_for(lambda: gateway.post(CHAT, {"stream": True}, key=secret).status != 429)


def test_a_refused_call_takes_no_place(gateway: Gateway, upstream: Upstream) -> None:
    secret = gateway.make_key(max_parallel_requests=1, models=["tiny-chat"])
    for _ in range(3):
        wait_for(lambda: gateway.post(CHAT, {"model": "other"}, key=secret).status == 403)
    assert gateway.post(CHAT, {"model": "tiny-chat"}, key=secret).status == 200


def test_no_place_at_all_is_a_429(gateway: Gateway, upstream: Upstream) -> None:
    assert gateway.post(CHAT, {}, key=gateway.make_key(max_parallel_requests=0)).status == 429


def test_a_call_is_the_last_use_of_its_key_and_of_the_secret_that_it_showed(
    gateway: Gateway, upstream: Upstream
) -> None:
    secret = gateway.make_key(key_alias="used")
    gateway.row(gateway.call("GET", "/vllm/version", key=secret))
    used = "SELECT secret.last_used_at AS at FROM keys_secret secret JOIN keys_virtualkey used ON used.id = key_id"
    wait_for(lambda: gateway.query(f"{used} WHERE name = ? AND used.last_used_at = secret.last_used_at", "used"))


def test_tags_and_end_user_reach_the_row(gateway: Gateway, upstream: Upstream) -> None:
    secret = gateway.make_key(metadata={"tags": ["team-a"]}, user_id="owner", key_alias="tagged")
    response = gateway.post(CHAT, {"user": "someone"}, [("x-litellm-tags", "b, c"), ("user-agent", "x/1")], key=secret)
    row = gateway.row(response)
    tags = json.loads(row["tags"]) if isinstance(row["tags"], str) else row["tags"]
    assert (tags, row["end_user"], row["user_id"]) == (["team-a", "b", "c"], "someone", "owner")
    assert (row["key_name"], row["user_agent"], row["client_address"]) == ("tagged", "x/1", "127.0.0.1")
