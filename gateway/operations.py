"""What a face does with certain calls beyond passing them on. To add one: a function, and its place in a table here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.http import HttpResponseBase

from gateway.exchange import Exchange
from gateway.openai import hidden_errors, models_list, rerank_call
from gateway.realtime import realtime_call
from gateway.responses import calls as responses

Operation = Callable[[Exchange], HttpResponseBase]
Key = tuple[str, str, str]
"""Name of the face, method, template of the route."""

_FACES = ("vllm", "upstream", "openai")
_STORED = ("/v1/responses/{id}", "/v1/responses/{id}/cancel", "/v1/responses/{id}/{rest:path}")
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

OPERATIONS: dict[Key, Operation] = {
    **{("openai", "POST", path): rerank_call.operate for path in ("/rerank", "/v1/rerank", "/v2/rerank")},
    **{(face, "POST", "/v1/responses"): responses.create for face in _FACES},
    **{(face, "POST", "/v1/responses/render"): responses.render for face in _FACES},
}
"""Operations on calls for which candidates have been chosen."""

LOCAL_OPERATIONS: dict[Key, Operation] = {
    ("openai", "GET", "/v1/models"): models_list.list_models,
    ("openai", "GET", "/v1/models/{id}"): models_list.retrieve_model,
    **{(face, method, path): responses.visit for face in _FACES for method in _METHODS for path in _STORED},
    **{(face, "GET", "/v1/realtime"): realtime_call.operate for face in ("vllm", "upstream", "openai")},
}
"""Operations that choose for themselves where the call goes, or answer it themselves."""


def pass_on(exchange: Exchange) -> HttpResponseBase:
    """What all other calls get."""
    if not exchange.face.verbatim:
        return hidden_errors.pass_on(exchange)
    return exchange.pass_on(exchange.send())


def find(table: Mapping[Key, Operation], exchange: Exchange) -> Operation | None:
    """The operation for this call; None when it has none of its own."""
    method = "GET" if exchange.call.method == "HEAD" else exchange.call.method
    return table.get((exchange.face.name, method, exchange.match.template))
