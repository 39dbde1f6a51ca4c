"""Hands the control plane's paths over: the relay owns the public port, the admin and the key API live behind it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

import gevent
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from common.errors import GatewayError
from gateway.body.request_body import RequestBody, announced_length, receive
from gateway.client_address import origin
from gateway.cuts import CallCut
from gateway.error_handler import answer, translate
from gateway.errors import BodyTooSlow, ControlPlaneAway
from gateway.handover_head import Allowance, allowance
from gateway.handover_room import IN_MEMORY_BYTES, place
from gateway.headers import HOP_BY_HOP
from gateway.refused_unread import ending
from gateway.serving.server import ClientConnection
from gateway.this_relay import plane
from gateway.turns import let_others_go
from keys.authentication import check_usable, recognise
from keys.errors import ManagementRefused
from upstreams.client import Outgoing, UpstreamResponse
from upstreams.errors import UpstreamBroken, UpstreamError

logger = logging.getLogger(__name__)

_NOT_HANDED_OVER = HOP_BY_HOP | {"expect"}  # the body is here by now
_OURS = ("HTTP_X_FORWARDED_", "HTTP_FORWARDED")  # the control plane's server believes several of them


def hand_over(request: HttpRequest) -> HttpResponseBase:
    """Passes a request on to the control plane and its answer back."""
    return _Handover(request).answer()


class _Handover:
    """One request for the control plane."""

    def __init__(self, request: HttpRequest) -> None:
        self._method = request.method or "GET"
        self._path = request.path_info
        self._environ: Mapping[str, Any] = request.META
        self._connection = ClientConnection(self._environ)
        self._length = announced_length(self._environ)
        self._unread = self._length != 0

    def answer(self) -> HttpResponseBase:
        try:
            return self._passed_on()
        except CallCut:
            self._connection.abort()
            return HttpResponse(status=499)
        except GatewayError as error:
            return self._refusal(error)
        except Exception:
            logger.exception("The relay failed.")
            return self._refusal(GatewayError())

    def _refusal(self, error: GatewayError) -> HttpResponseBase:
        refusal = answer(translate(error))
        return ending(refusal, self._connection) if self._unread else refusal

    def _passed_on(self) -> HttpResponseBase:
        allowed = self._allowance()
        with place(self._length, allowed.sender) as grow:
            body = self._received(allowed.limit, grow)
            self._unread = False
            try:
                response = self._sent(body)
            finally:
                body.close()
        if response.status == HTTPStatus.UNAUTHORIZED:
            _count_refusal(self._environ)
        return _answer(response, self._connection)

    def _allowance(self) -> Allowance:
        """What is taken of the body. What has none, the control plane judges alone."""
        if self._length == 0:
            return Allowance(0)
        try:
            return allowance(self._path, self._environ, plane.keys, plane.look)
        except GatewayError as error:
            plane.unlisted.add(error, self._environ)
            raise

    def _received(self, limit: int, on_bytes: Callable[[int], None]) -> RequestBody:
        with gevent.Timeout(settings.BODY_TIMEOUT, BodyTooSlow()):
            return receive(
                self._environ["wsgi.input"],
                length=self._length,
                limit=limit,
                spool=plane.spool,
                in_memory=IN_MEMORY_BYTES,
                on_bytes=on_bytes,
            )

    def _sent(self, body: RequestBody) -> UpstreamResponse:
        outgoing = Outgoing(_request_headers(self._environ), str(self._environ.get("RAW_URI", "/")))
        if self._length != 0:
            outgoing["Content-Length"] = str(body.length)
        try:
            return plane.control.open(plane.control_url, self._method, outgoing, body.whole())
        except UpstreamError as error:
            logger.warning("The control plane does not answer (%s).", type(error).__name__)
            raise ControlPlaneAway from error


def _count_refusal(environ: Mapping[str, Any]) -> None:
    """The key API has no rows in the request log; the relay tells why it refused as far as memory knows."""
    try:
        check_usable(recognise(environ, plane.keys, _no_look), time.time())
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
