"""What the tests of the Responses API share: faces, recorded answers, refusals as OpenAI's client tells them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.support import answers
from tests.support.exchange import Behaviour
from tests.support.upstream import Upstream

RECORDINGS = Path(__file__).parents[2] / "recordings"
FACES = ("/v1", "/vllm/v1", "/upstreams/native/v1")
SSE = [("content-type", "text/event-stream; charset=utf-8")]

Client = Callable[..., openai.OpenAI]


def recorded(name: str) -> Behaviour:
    """A recorded chat, plain or as a stream, whatever was asked."""
    if name.endswith(".json"):
        return answers.body((RECORDINGS / name).read_bytes(), headers=[("content-type", "application/json")])
    return answers.body((RECORDINGS / name).read_bytes(), headers=SSE)


def paths(upstream: Upstream) -> list[str]:
    return [request.path for request in upstream.calls if request.method == "POST"]


def refusal(act: Callable[[], object]) -> tuple[int, Any]:
    with pytest.raises(openai.APIStatusError) as error:
        act()
    return error.value.status_code, error.value.param
