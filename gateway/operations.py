"""What a face does with certain calls beyond passing them on. To add one: a function, and its place in a table here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.http import HttpResponseBase

from gateway.exchange import Exchange

Operation = Callable[[Exchange], HttpResponseBase]
Key = tuple[str, str, str]
"""Name of the face, method, template of the route."""

OPERATIONS: dict[Key, Operation] = {}
"""Operations on calls for which candidates have been chosen."""

LOCAL_OPERATIONS: dict[Key, Operation] = {}
"""Operations that choose for themselves where the call goes, or answer it themselves."""


def pass_on(exchange: Exchange) -> HttpResponseBase:
    """What all other calls get."""
    return exchange.pass_on(exchange.send())


def find(table: Mapping[Key, Operation], exchange: Exchange) -> Operation | None:
    """The operation for this call; None when it has none of its own."""
    return table.get((exchange.face.name, exchange.call.method, exchange.match.template)) if table else None
