"""What a key's type, its own names for models and its grants do to calls, over real sockets."""

from __future__ import annotations

import pytest

from tests.support.gateway import Gateway
from tests.support.http_client import Response
from tests.support.patience import wait_for
from tests.support.upstream import Upstream

CHAT = "/vllm/v1/chat/completions"


def _error(response: Response) -> tuple[int, str]:
    return response.status, response.json()["error"]["type"]


@pytest.mark.parametrize("target", [CHAT, "/v1/chat/completions"])
def test_a_name_of_the_key_s_own_is_replaced_and_nothing_else(
    gateway: Gateway, upstream: Upstream, target: str
) -> None:
    key = gateway.make_key(models=["fast"], aliases={"fast": "nice-name"})
    body = b'{ "seed":1.0, "model" : "fast" ,"messages":[] }'
    response = gateway.call("POST", target, [("content-type", "application/json")], body, key=key)
    assert response.status == 200
    sent = upstream.request_with_id(response.header("x-request-id") or "")
    assert sent.body == body.replace(b"fast", b"tiny-chat")
    assert gateway.row(response)["model"] == "fast"


def test_a_list_with_a_name_of_the_key_s_own_does_not_allow_the_model_by_its_other_names(gateway: Gateway) -> None:
    key = gateway.make_key(models=["fast"], aliases={"fast": "nice-name"})
    for model in ("nice-name", "tiny-chat"):
        assert _error(gateway.post(CHAT, {"model": model}, key=key)) == (403, "key_model_access_denied")


def test_a_change_of_names_and_grants_reaches_calls(gateway: Gateway, upstream: Upstream) -> None:
    key = gateway.make_key(models=["fast"])
    by_name = [("x-gateway-upstream", "environment")]
    assert _error(gateway.call("GET", "/vllm/version", by_name, key=key)) == (403, "key_upstream_access_denied")
    gateway.key_api("update", key=key, allowed_upstreams=["env*"], aliases={"fast": "nice-name"})
    wait_for(lambda: gateway.call("GET", "/vllm/version", by_name, key=key).status == 200)
    response = gateway.post(CHAT, {"model": "fast", "messages": []}, key=key)
    assert upstream.request_with_id(response.header("x-request-id") or "").json()["model"] == "tiny-chat"


def test_a_management_key_makes_keys_and_calls_nothing(gateway: Gateway) -> None:
    manager = gateway.make_key(key_type="management", endpoint_classes=["inference", "monitoring", "server_control"])
    made = gateway.post("/key/generate", {}, key=manager)
    assert made.status == 200
    assert gateway.call("GET", "/vllm/version", key=made.json()["key"]).status == 200
    for method, target in (("GET", "/vllm/version"), ("GET", "/v1/models"), ("POST", "/vllm/sleep")):
        assert _error(gateway.call(method, target, key=manager)) == (403, "key_route_access_denied")
    assert _error(gateway.post(CHAT, {"model": "tiny-chat"}, key=manager)) == (403, "key_route_access_denied")
