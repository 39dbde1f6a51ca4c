"""What `/v1` has, what it has not, and what lies elsewhere on vLLM."""

import pytest

from gateway import paths, routes
from gateway.errors import NotOnThisFace, UnsupportedOperation
from gateway.openai import surface


def check(target: str, method: str = "POST") -> None:
    parsed = paths.parse(target, "")
    surface.check(parsed, routes.find(method, parsed.route))


@pytest.mark.parametrize("path", ["classify", "pooling", "tokenize", "detokenize"])
def test_paths_that_vllm_has_above_v1(path: str) -> None:
    placed = surface.placed(paths.parse(f"/v1/{path}?a=%2F", ""))
    assert (placed.raw, placed.path, placed.route) == (f"/{path}?a=%2F", f"/{path}", f"/{path}")


@pytest.mark.parametrize("target", ["/v1/chat/completions", "/v1/score", "/classify"])
def test_all_other_paths_stay_where_they_are(target: str) -> None:
    parsed = paths.parse(target, "")
    assert surface.placed(parsed) is parsed


@pytest.mark.parametrize(
    "path", ["images/generations", "images/edits", "audio/speech", "files", "files/file-1", "batches", "moderations"]
)
def test_what_vllm_cannot_do(path: str) -> None:
    for prefix in ("/v1/", "/"):
        with pytest.raises(UnsupportedOperation):
            check(prefix + path)


@pytest.mark.parametrize("path", ["/v1/load_lora_adapter", "/v1/unload_lora_adapter"])
def test_what_the_servers_operators_do_is_not_there(path: str) -> None:
    with pytest.raises(NotOnThisFace):
        check(path)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/completions",
        "/v1/audio/transcriptions",
        "/audio/translations",
        "/v1/unheard-of",
        "/score",
    ],
)
def test_all_else_is(path: str) -> None:
    check(path)
