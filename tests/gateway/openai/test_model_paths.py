"""Models in paths: names with slashes, encoded or not, and nothing that could be another path."""

import pytest

from gateway.openai.model_paths import engine, listed
from gateway.paths import UnsafePath


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ("/v1/models/tiny", ("tiny", "/v1/models/-")),
        ("/models/org%2Ftiny?a=%2F", ("org/tiny", "/models/-?a=%2F")),
        ("/v1/models/org/tiny", ("org/tiny", "/v1/models/-")),
        ("/v1/models/a.b:c@1%20d", ("a.b:c@1 d", "/v1/models/-")),
        ("/v1/models", None),
        ("/v1/models/", None),
        ("/v1/modelsx/a", None),
        ("/v1/completions/models/a", None),
    ],
)
def test_the_id_of_a_model(raw: str, found: tuple[str, str] | None) -> None:
    assert listed(raw) == found


@pytest.mark.parametrize(
    ("raw", "prefix", "found"),
    [
        ("/engines/tiny/completions", "", ("tiny", "/v1/completions")),
        ("/v1/engines/org%2Ftiny/chat/completions?x", "", ("org/tiny", "/v1/chat/completions?x")),
        ("/vllm/engines/org/tiny/embeddings", "/vllm", ("org/tiny", "/vllm/v1/embeddings")),
        ("/vllm/engines/tiny/score", "/vllm", None),
        ("/engines/completions", "", None),
        ("/v1/x/engines/a/completions", "", None),
    ],
)
def test_the_model_of_an_engine(raw: str, prefix: str, found: tuple[str, str] | None) -> None:
    assert engine(raw, prefix) == found


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "%2e%2e",
        "a/../b",
        "a%2F..%2Fb",
        "a%2f%2e%2e%2fb",
        "a%252Fb",
        "a//b",
        "%2Fa",
        "a%5cb",
        "a%00",
        "a%0d",
        "%ff",
    ],
)
def test_what_could_be_another_path_is_refused(name: str) -> None:
    with pytest.raises(UnsafePath):
        listed(f"/v1/models/{name}")
    with pytest.raises(UnsafePath):
        engine(f"/v1/engines/{name}/completions", "")
