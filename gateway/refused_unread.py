"""A refusal whose request was not read to its end: the connection ends after it, gently."""

from __future__ import annotations

from typing import cast

from django.http import JsonResponse

from gateway.serving.server import ClientConnection


class RefusedUnread(JsonResponse):
    """Lets the client read the answer before its unread bytes reset the connection (RFC 9112, 9.6)."""

    connection: ClientConnection

    def close(self) -> None:
        super().close()
        self.connection.linger()


def ending(response: JsonResponse, connection: ClientConnection) -> JsonResponse:
    """The same response, after which the connection ends."""
    connection.close_after()
    response.__class__ = RefusedUnread
    refused = cast("RefusedUnread", response)
    refused.connection = connection
    return refused
