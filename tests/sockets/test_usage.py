"""Calls over real sockets are found again in what is read of their usage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import vllm
from tests.support.gateway import Gateway
from tests.support.patience import wait_for
from tests.support.upstream import Upstream

_SETUP = """
from upstreams.models import Deployment, Upstream
upstream = Upstream.objects.get(name="environment")
Deployment.objects.create(upstream=upstream, alias="priced", served_name="tiny-chat", cost_per_request="0.5")
"""


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Upstream() as upstream:
        vllm.serve(upstream)
        with Gateway(HOSTED_VLLM_API_BASE=upstream.url) as gateway:
            gateway.shell(_SETUP)
            wait_for(lambda: "priced" in str(gateway.call("GET", "/v1/models").json()))
            yield gateway


def read(gateway: Gateway, target: str, **options: Any) -> Any:
    response = gateway.call("GET", target, **options)
    assert response.status == 200, response.body
    return response.json()


def test_a_key_s_calls_are_told_to_its_holder_and_to_managers(gateway: Gateway) -> None:
    made = gateway.post(
        "/key/generate", {"key_alias": "laptop", "user_id": "ada", "max_budget": 2, "models": ["priced"]}
    ).json()
    for model in ("priced", "unpriced"):
        body = {"model": model, "messages": []}
        gateway.post("/v1/chat/completions", body, key=made["key"], headers=[("x-litellm-tags", "trial")])
    wait_for(lambda: read(gateway, "/spend/logs/v2?key_alias=laptop")["total"] == 2)
    refused, fine = read(gateway, "/spend/logs/v2?key_alias=laptop")["data"]
    assert (refused["status"], refused["metadata"]["error_information"]["error_code"]) == ("failure", "403")
    assert (fine["status"], fine["spend"], fine["user"], fine["api_key"]) == ("success", 0.5, "ada", made["token"])
    assert read(gateway, "/spend/tags") == [{"individual_request_tag": "trial", "log_count": 2, "total_spend": 0.5}]
    mine = read(gateway, "/me", key=made["key"])
    assert (mine["limits"][0]["used"], mine["limits"][0]["left"]) == (0.5, 1.5)
    assert mine["usage"]["total"]["calls"] == 2
    assert mine["errors"][0]["type"] == "key_model_access_denied"
    assert gateway.call("GET", "/spend/logs", key=made["key"]).status == 401
