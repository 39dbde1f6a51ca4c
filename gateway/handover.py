"""Hands the control plane's paths over: the relay owns the public port, the admin and the key API live behind it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gevent
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from common.errors import GatewayError
from gateway.body.request_body import RequestBody, announced_length, receive
from gateway.body.room import Room
from gateway.client_address import origin
from gateway.cuts import CallCut
from gateway.error_handler import answer, translate
from gateway.errors import BodyTooSlow, ControlPlaneAway, ControlPlaneBusy
from gateway.handover_head import allowed_bytes
from gateway.headers import HOP_BY_HOP
from gateway.refused_unread import ending
from gateway.serving.server import ClientConnection
from gateway.this_relay import plane
from gateway.turns import let_others_go
from keys.authentication import recognise
from keys.errors import ManagementRefused
from upstreams.client import Outgoing, UpstreamClient, UpstreamResponse
from upstreams.errors import UpstreamBroken, UpstreamError

logger = logging.getLogger(__name__)

IN_MEMORY_BYTES = 65_536  # of bodies that anybody may send, on thousands of connections at once
_room = Room(memory=64_000_000, disk=256_000_000, small=IN_MEMORY_BYTES)
READ_SECONDS = 300.0
UNAUTHORIZED = 401
_NOT_HANDED_OVER = HOP_BY_HOP | {"expect"}  # the body is here by now
_OURS = ("HTTP_X_FORWARDED_", "HTTP_FORWARDED")  # the control plane's server believes several of them

# A key may be made only once: nothing is sent again, also when the control plane ended in the middle.
_client = UpstreamClient(connect_timeout=5, read_timeout=READ_SECONDS, resend=False)


def hand_over(request: HttpRequest) -> HttpResponseBase:
    """Passes a request on to the control plane and its answer back."""
    connection = ClientConnection(request.META)
    try:
        return _passed_on(request, connection)
    except CallCut:
        connection.abort()
        return HttpResponse(status=499)
    except GatewayError as error:
        return ending(answer(translate(error)), connection)


def _passed_on(request: HttpRequest, connection: ClientConnection) -> HttpResponseBase:
    environ = request.META
    limit = _limit(request.path_info, environ)
    with _room.place(ControlPlaneBusy) as grow:
        body = _received(environ, limit, grow)
        try:
            response = _sent(request.method or "GET", environ, body)
        finally:
            body.close()
    if response.status == UNAUTHORIZED:
        _count_refusal(environ)
    return _answer(response, connection)


def _limit(path: str, environ: Mapping[str, Any]) -> int:
    """Bytes of the body that are taken. What has none, the control plane judges alone."""
    if announced_length(environ) == 0:
        return 0
    try:
        return allowed_bytes(path, environ, plane.keys, plane.look)
    except GatewayError as error:
        plane.unlisted.add(error, environ)
        raise


def _received(environ: Mapping[str, Any], limit: int, on_bytes: Callable[[int], None]) -> RequestBody:
    with gevent.Timeout(settings.BODY_TIMEOUT, BodyTooSlow()):
        return receive(
            environ["wsgi.input"],
            length=announced_length(environ),
            limit=limit,
            spool=plane.spool,
            in_memory=IN_MEMORY_BYTES,
            on_bytes=on_bytes,
        )


def _sent(method: str, environ: Mapping[str, Any], body: RequestBody) -> UpstreamResponse:
    outgoing = Outgoing(_request_headers(environ), str(environ.get("RAW_URI", "/")))
    if announced_length(environ) != 0:
        outgoing["Content-Length"] = str(body.length)
    try:
        return _client.open(plane.control_url, method, outgoing, body.whole())
    except UpstreamError as error:
        logger.warning("The control plane does not answer (%s).", type(error).__name__)
        raise ControlPlaneAway from error


def _count_refusal(environ: Mapping[str, Any]) -> None:
    """The key API has no rows in the request log; the relay tells why it refused as far as memory knows."""
    try:
        recognise(environ, plane.keys, _no_look)
    except GatewayError as error:
        plane.unlisted.add(error, environ)
    else:
        plane.unlisted.add(ManagementRefused(), environ)


def _no_look() -> None:
    """The control plane has asked the database."""


def _request_headers(environ: Mapping[str, Any]) -> dict[str, str]:
    """All end-to-end headers, cookies and credentials included: the control plane is ourselves."""
    headers = {
        name[5:].replace("_", "-").title(): str(value)
        for name, value in environ.items()
        if name.startswith("HTTP_")
        and not name.startswith(_OURS)
        and name[5:].replace("_", "-").lower() not in _NOT_HANDED_OVER
    }
    if environ.get("CONTENT_TYPE"):
        headers["Content-Type"] = str(environ["CONTENT_TYPE"])
    headers.setdefault("Accept-Encoding", "identity")
    headers.setdefault("Host", "localhost")
    client = origin(environ, settings.TRUSTED_PROXIES)
    headers["X-Forwarded-For"], headers["X-Forwarded-Proto"] = client.forwarded_for, client.scheme
    return headers


def _answer(response: UpstreamResponse, connection: ClientConnection) -> StreamingHttpResponse:
    relayed = StreamingHttpResponse(_Body(response, connection), status=response.status, reason=response.reason)
    del relayed.headers["Content-Type"]
    for name, value in response.headers:
        lower = name.lower()
        if lower == "set-cookie":
            relayed.cookies.load(value)
        elif lower not in HOP_BY_HOP and lower not in {"date", "server"}:
            relayed.headers[name] = value
    return relayed


class _Body:
    """The answer's body; the connection is given back, or closed, when the server is done with it."""

    def __init__(self, response: UpstreamResponse, connection: ClientConnection) -> None:
        self._response = response
        self._connection = connection

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._response.chunks():
                yield chunk
                let_others_go()  # an export that both sides are fast at must keep no stream waiting
        except UpstreamBroken:
            self._connection.cut()

    def close(self) -> None:
        self._response.close()
