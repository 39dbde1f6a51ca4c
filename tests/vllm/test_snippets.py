"""The programs that the admin shows beside a new secret, run as they are pasted, against a real server."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.admin_pages import snippets
from gateway.admin_pages.snippets import Call, Snippet
from tests.support.programs import python, shell
from tests.vllm.conftest import Site

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("ignore")]  # of the libraries

Made = Callable[[Call], list[Snippet]]
FOR_A_MODEL: list[tuple[str, Made]] = [
    ("chat", snippets.for_chat),
    ("chat", snippets.for_completions),
    ("tools", snippets.for_chat),
    ("embed", snippets.for_embeddings),
    ("rerank", snippets.for_ranking),
]


def _printed(snippet: Snippet) -> str:
    return (shell if "curl " in snippet.text else python)(snippet.text).strip()


@pytest.mark.parametrize(("site", "made"), FOR_A_MODEL, indirect=["site"])
def test_each_program_for_a_model_gets_an_answer(site: Site, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it asks the internet at import
    printed = {
        (snippet.name, snippet.calls): _printed(snippet)
        for snippet in made(Call(site.gateway.url, site.secret, site.server.model))
    }
    assert len(printed) > 2
    assert all(printed.values())


@pytest.mark.parametrize("site", ["chat"], indirect=True)
def test_each_list_is_given(site: Site) -> None:
    url = site.gateway.url
    lists = [
        *snippets.for_models(url, site.secret),
        *snippets.for_control(url, site.secret),
        *snippets.for_keys(url, site.gateway.master_key),
    ]
    assert [_printed(snippet)[0] for snippet in lists] == ["{"] * len(lists)
