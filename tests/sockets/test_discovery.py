"""Models are found by themselves, and health is noticed, while a gateway runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import vllm
from tests.support.gateway import Gateway
from tests.support.patience import wait_for
from tests.support.upstream import Upstream

ADD = """
from upstreams.models import Upstream
Upstream(name="{name}", url="{url}").save()
"""


@pytest.fixture
def first() -> Iterator[Upstream]:
    with Upstream() as upstream:
        vllm.serve(upstream, model="first-model")
        yield upstream


@pytest.fixture
def second() -> Iterator[Upstream]:
    with Upstream() as upstream:
        vllm.serve(upstream, model="second-model")
        yield upstream


@pytest.fixture
def own_gateway(first: Upstream) -> Iterator[Gateway]:
    with Gateway(HOSTED_VLLM_API_BASE=first.url) as gateway:
        yield gateway


def served_by(gateway: Gateway, key: str, model: str) -> str | None:
    """The name of the upstream that took a call for the model; None when the call was refused."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
    response = gateway.post("/v1/chat/completions", body, key=key)
    return gateway.row(response)["upstream_name"] if response.status == 200 else None


def test_a_server_is_added_by_its_url_alone_and_its_model_can_be_called_in_seconds(
    own_gateway: Gateway, second: Upstream
) -> None:
    key = own_gateway.make_key()
    wait_for(lambda: served_by(own_gateway, key, "first-model") == "environment")
    own_gateway.shell(ADD.format(name="second", url=second.url))
    wait_for(lambda: served_by(own_gateway, key, "second-model") == "second")
    second.on("GET /health", vllm.health(503))
    wait_for(lambda: own_gateway.query("SELECT 1 FROM upstreams_upstream WHERE health = 'unhealthy'"))
    assert served_by(own_gateway, key, "second-model") == "second"  # ill, but the only one
