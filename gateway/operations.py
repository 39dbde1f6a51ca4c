"""What a face does with certain calls beyond passing them on. To add one: a function, and its place in a table here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.http import HttpResponseBase

from gateway.exchange import Exchange
from gateway.openai import hidden_errors, models_list, rerank_call

Operation = Callable[[Exchange], HttpResponseBase]
Key = tuple[str, str, str]
"""Name of the face, method, template of the route."""

OPERATIONS: dict[Key, Operation] = {
    **{("openai", "POST", path): rerank_call.operate for path in ("/rerank", "/v1/rerank", "/v2/rerank")},
}
"""Operations on calls for which candidates have been chosen."""

LOCAL_OPERATIONS: dict[Key, Operation] = {
    ("openai", "GET", "/v1/models"): models_list.list_models,
    ("openai", "GET", "/v1/models/{id}"): models_list.retrieve_model,
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
