"""The bodies of the commands that make a call like another: a real server takes each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gateway import routes
from gateway.admin_pages.example_bodies import example_of
from tests.vllm.conftest import Site
from tests.vllm.servers import skip_without_the_route

pytestmark = pytest.mark.vllm

_JSON = ("content-type", "application/json")
_POOLING = {"/v1/embeddings": "embed", "/v2/embed": "embed", "/pooling": "embed", "/classify": "classify"}
_SCORING = ("/score", "/v1/score", "/rerank", "/v1/rerank", "/v2/rerank")


def _commands() -> Iterator[Any]:
    """Each route that has such a body, plain and streamed, with the kinds of server that have the route."""
    for match in [routes.find("POST", route.template) for route in routes.ROUTES]:
        if example_of(match, "any", streaming=False) is None:
            continue
        kinds = ("embed", "rerank") if match.template in _SCORING else (_POOLING.get(match.template, "chat"),)
        for kind in kinds:
            yield pytest.param(kind, match, False, id=f"{kind}: {match.template}")
            if match.streams:
                yield pytest.param(kind, match, True, id=f"{kind}: {match.template}, streamed")


@pytest.mark.parametrize(("site", "match", "streaming"), list(_commands()), indirect=["site"])
def test_the_server_takes_the_body(site: Site, match: routes.Match, streaming: bool) -> None:
    body = json.dumps(example_of(match, site.server.model, streaming=streaming)).encode()
    target = f"/vllm{match.template}"
    response = site.gateway.call("POST", target, [_JSON], body, key=site.secret, timeout=60)
    skip_without_the_route(match.template, response.status)
    assert response.status == 200, response.body
