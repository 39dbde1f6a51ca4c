"""Documents in every shape go up as vLLM takes them, and come back as the client's own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from common.errors import InvalidRequest
from gateway.openai import rerank

DOCUMENTS = ["one", {"text": "two", "id": "b", "meta": {"n": 2}}, {"content": [{"type": "text", "text": "three"}]}]


def read(**fields: Any) -> rerank.Rerank:
    return rerank.read(json.dumps({"query": "q", "documents": DOCUMENTS, **fields}).encode())


def sent(**fields: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(read(**fields).body)
    return body


def results(*rows: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"id": "score-1", "model": "m", "usage": {"total_tokens": 5}, "results": rows, **fields}).encode()


def test_documents_go_up_as_vllm_takes_them() -> None:
    assert sent()["documents"] == ["one", "two", DOCUMENTS[2]]


@pytest.mark.parametrize("fields", [{"top_n": 2}, {"params": {"top_n": 2}}, {"params": {"top_n": 9}, "top_n": 2}])
def test_top_n_may_stand_at_the_top_or_below_params(fields: dict[str, Any]) -> None:
    body = sent(**fields)
    assert body["top_n"] == 2
    assert "params" not in body


def test_unknown_fields_go_up_and_return_documents_does_not() -> None:
    body = sent(model="m", truncate_prompt_tokens=-1, return_documents=True, params={"priority": 3})
    assert body == {
        "query": "q",
        "documents": body["documents"],
        "model": "m",
        "truncate_prompt_tokens": -1,
        "priority": 3,
    }


@pytest.mark.parametrize(
    ("fields", "sentence", "param"),
    [
        ({"query": None}, "query is required", "query"),
        ({"query": " "}, "query is required", "query"),
        ({"documents": None}, "documents are required", "documents"),
        ({"documents": []}, "documents are required", "documents"),
        ({"documents": "one"}, "documents are required", "documents"),
        ({"documents": ["a"] * 10_001}, "at most 10,000", "documents"),
        ({"documents": ["a", " "]}, "document text is required for rerank at index 1", "documents.1"),
        ({"documents": [{"id": 1}]}, "document text is required for rerank at index 0", "documents.0"),
        ({"documents": [7]}, "document text is required for rerank at index 0", "documents.0"),
        ({"top_n": 0}, "top_n must be at least 1", "top_n"),
        ({"top_n": True}, "top_n must be at least 1", "top_n"),
        ({"params": [1]}, "params must be an object", "params"),
        ({"params": {"model": "other"}}, "at the top of the body", "params.model"),
    ],
)
def test_what_is_missing_is_said(fields: dict[str, Any], sentence: str, param: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence) as refused:
        read(**fields)
    assert refused.value.param == param


def test_what_is_not_unicode_passes() -> None:
    call = read(documents=["\ud800", {"text": "b", "meta": "\ud800"}], return_documents=True)
    assert json.loads(call.body)["documents"] == ["\ud800", "b"]
    told = rerank.answer(call, results({"index": 1, "relevance_score": 1.0}))
    assert told is not None
    assert json.loads(told)["results"][0]["document"]["meta"] == "\ud800"


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b"[" * 10_000])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        rerank.read(body)


def test_results_are_sorted_and_carry_no_echo() -> None:
    body = results(
        {"index": 2, "relevance_score": 0.5, "document": {"text": "echo"}},
        {"index": 0, "score": 0.9},
        {"index": 1, "relevance_score": 0.5},
    )
    told = json.loads(rerank.answer(read(), body) or b"")
    assert told["results"] == [
        {"index": 0, "relevance_score": 0.9},
        {"index": 1, "relevance_score": 0.5},
        {"index": 2, "relevance_score": 0.5},
    ]
    assert (told["id"], told["model"], told["usage"]) == ("score-1", "m", {"total_tokens": 5})


@pytest.mark.parametrize("fields", [{"return_documents": True}, {"params": {"return_documents": True}}])
def test_each_result_has_the_client_s_own_document_when_asked_for(fields: dict[str, Any]) -> None:
    body = results(*({"index": place, "relevance_score": 1 - place / 10} for place in range(3)))
    told = json.loads(rerank.answer(read(**fields), body) or b"")
    assert [row["document"] for row in told["results"]] == [{"text": "one"}, *DOCUMENTS[1:]]


@pytest.mark.parametrize(
    "body",
    [
        b"no json",
        b"[]",
        b'{"results": 1}',
        results({"index": 3, "relevance_score": 1}),
        results({"index": -1, "relevance_score": 1}),
        results({"index": 0, "relevance_score": 1}, {"index": 0, "relevance_score": 1}),
        results({"index": True, "relevance_score": 1}),
        results({"index": 0, "relevance_score": "1"}),
        results({"index": 0}),
    ],
)
def test_an_answer_that_fits_no_document_is_none(body: bytes) -> None:
    assert rerank.answer(read(), body) is None
