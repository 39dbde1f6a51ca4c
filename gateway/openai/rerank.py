"""Rerank on `/v1`: any of the shapes in which documents are sent, and the client's own documents back. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common.errors import InvalidRequest
from gateway.responses.events import encoded

MOST_DOCUMENTS = 10_000
"""Each is looked at in a loop that keeps every other call waiting."""

_OURS = {"documents", "return_documents", "params"}
_OPTIONS = ("return_documents", "top_n")


@dataclass(frozen=True, slots=True)
class Rerank:
    """A rerank call. `body` is what the upstream gets; `documents` are the client's own."""

    body: bytes
    documents: list[Any]
    returns_documents: bool


def read(body: bytes) -> Rerank:
    """The call in a request body. Raises InvalidRequest with the field that is wrong.

    `documents` are texts, `{"text": …}` objects with whatever else, or vLLM's `{"content": […]}`; `return_documents`
    and `top_n` stand at the top or below `params`. All other fields go to the upstream as they are.
    """
    request = _object(body)
    params = request.get("params") or {}
    if not isinstance(params, dict):
        raise InvalidRequest("params must be an object.", param="params")
    if "model" in params:  # who may use it, and where it goes, was judged by the one at the top
        raise InvalidRequest("params.model: Name the model at the top of the body.", param="params.model")
    options = {name: request.get(name, params.get(name)) for name in _OPTIONS}
    documents = request.get("documents")
    if not _is_text(request.get("query")) and not isinstance(request.get("query"), dict):
        raise InvalidRequest("query is required for rerank.", param="query")
    if not isinstance(documents, list) or not documents:
        raise InvalidRequest("documents are required for rerank: a list of texts.", param="documents")
    if len(documents) > MOST_DOCUMENTS:
        raise InvalidRequest(f"documents may be at most {MOST_DOCUMENTS:,}.", param="documents")
    top_n = options["top_n"]
    if top_n is not None and (not isinstance(top_n, int) or isinstance(top_n, bool) or top_n < 1):
        raise InvalidRequest("top_n must be at least 1.", param="top_n")
    sent = {name: value for name, value in request.items() if name not in _OURS}
    rest = {name: value for name, value in params.items() if name not in _OPTIONS}
    sent = {**rest, **sent, "documents": [_sent(one, place) for place, one in enumerate(documents)]}
    if top_n is not None:
        sent["top_n"] = top_n
    return Rerank(encoded(sent), documents, options["return_documents"] is True)


def answer(call: Rerank, body: bytes) -> bytes | None:
    """What the client gets for the upstream's answer; None when that is no list of results for these documents."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    results = said.get("results") if isinstance(said, dict) else None
    if not isinstance(results, list):
        return None
    scores: dict[int, float] = {}
    for result in results:
        place, score = _scored(result)
        if place is None or score is None or not 0 <= place < len(call.documents) or place in scores:
            return None
        scores[place] = score
    told = []
    for place, score in sorted(scores.items(), key=lambda item: (-item[1], item[0])):
        row: dict[str, Any] = {"index": place, "relevance_score": score}
        if call.returns_documents:
            document = call.documents[place]
            row["document"] = {"text": document} if isinstance(document, str) else document
        told.append(row)
    return encoded({**said, "results": told})


def _object(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The body must be a JSON object.") from error
    if not isinstance(request, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return request


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _sent(document: object, place: int) -> Any:
    if isinstance(document, dict) and "content" in document and "text" not in document:
        return document  # vLLM's own shape, for documents that are not only text
    text = document.get("text") if isinstance(document, dict) else document
    if not _is_text(text):
        raise InvalidRequest(f"document text is required for rerank at index {place}.", param=f"documents.{place}")
    return text


def _scored(result: Mapping[str, Any] | Any) -> tuple[int | None, float | None]:
    if not isinstance(result, dict):
        return None, None
    place, score = result.get("index"), result.get("relevance_score", result.get("score"))
    whole = isinstance(place, int) and not isinstance(place, bool)
    number = isinstance(score, int | float) and not isinstance(score, bool)
    return place if whole else None, float(score) if number else None  # type: ignore[arg-type]
