"""One call through the relay's own steps, up to where it would be sent."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from django.http import HttpResponse, HttpResponseBase
from django.urls import Resolver404
from django.urls.resolvers import RegexPattern, URLResolver
from typing_extensions import override

from common.errors import GatewayError
from gateway import operations, routes
from gateway.admission import admit, admit_visit
from gateway.exchange import Exchange
from gateway.faces import Face
from gateway.passthrough import Environ, PassThrough
from gateway.realtime import realtime_call
from gateway.rehearsal.plane import RehearsalPlane
from gateway.responses import calls as responses
from keys.identity import Identity

_BOUNDARY = "rehearsal"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The call that is asked about. `target` is the path as a client would write it, with its query."""

    target: str
    method: str = "POST"
    model: str = ""
    address: str = "127.0.0.1"
    end_user: str = ""
    upstream: str = ""


class NoCall(Exception):
    """At this address there is nothing that the relay passes on."""


class Rehearsal(PassThrough):
    """The relay's own way of a call, which ends where the call would be sent. `answer` it once."""

    def __init__(self, wanted: Wanted, identity: Identity, plane: RehearsalPlane) -> None:
        """Raises NoCall."""
        target = _placed(quote(wanted.target, safe="/?&=%:@!$'()*+,;~#[]\\"), wanted)
        super().__init__(_environ(target, wanted), plane, face=face_of(target))
        self.identity = identity
        self.wanted = wanted
        self.exchange: Exchange | None = None
        self.error: GatewayError | None = None
        self.admitted = False

    @property
    def match(self) -> routes.Match | None:
        """What the catalogue says of the route; None when the path was refused."""
        try:
            return routes.find(self._method, self._read_target()[1].route)
        except GatewayError:
            return None

    @property
    def face(self) -> Face:
        """How the call comes in."""
        return self._face

    @override
    def _identify(self) -> Identity:
        return self.identity

    @override
    def _operate(self, exchange: Exchange) -> HttpResponseBase:
        self.exchange = exchange
        local = operations.find(operations.LOCAL_OPERATIONS, exchange)
        response = _LOCALLY.get(local, local)(exchange) if local is not None else None
        if local is None:
            admit(exchange)
        self.admitted = True
        return response or HttpResponse(status=200)

    @override
    def _refuse(self, error: GatewayError, unexpected: Exception | None = None) -> HttpResponseBase:
        self.error = error
        return super()._refuse(error, unexpected)


def _visit(exchange: Exchange) -> HttpResponseBase | None:
    admit_visit(exchange)
    return None


def _open_session(exchange: Exchange) -> HttpResponseBase | None:
    exchange.model_comes_later = True
    admit(exchange)
    return None


# What these operations decide before they send anything; the others among them answer without sending at all.
_LOCALLY: dict[operations.Operation | None, Callable[[Exchange], HttpResponseBase | None]] = {
    responses.visit: _visit,
    realtime_call.operate: _open_session,
}


def face_of(target: str) -> Face:
    """How a call to this address comes in, by the relay's own table of addresses. Raises NoCall."""
    from gateway.urls import relay
    from gateway.views import PassThroughView

    path = unquote(target.partition("?")[0].partition("#")[0])
    try:
        found = URLResolver(RegexPattern(r"^/"), relay()).resolve(path)
    except Resolver404 as error:
        raise NoCall from error
    view: type[Any] | None = getattr(found.func, "view_class", None)
    if view is None or not issubclass(view, PassThroughView):
        raise NoCall
    return view().face({"RAW_URI": target})


def _placed(target: str, wanted: Wanted) -> str:
    """A session names its model in the address."""
    if wanted.model and target.partition("?")[0].endswith(routes.REALTIME) and "model=" not in target:
        return f"{target}{'&' if '?' in target else '?'}model={quote(wanted.model, safe='')}"
    return target


def _environ(target: str, wanted: Wanted) -> Environ:
    path = target.partition("?")[0]
    content_type, body = _body(path, wanted) if wanted.method in {"POST", "PUT", "PATCH"} else ("", b"")
    environ: Environ = {
        "REQUEST_METHOD": wanted.method,
        "RAW_URI": target,
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": content_type,
        "REMOTE_ADDR": wanted.address,
        "wsgi.input": io.BytesIO(body),
    }
    if wanted.end_user:
        environ["HTTP_X_END_USER_ID"] = wanted.end_user
    if wanted.upstream:
        environ["HTTP_X_GATEWAY_UPSTREAM"] = wanted.upstream
    return environ


def _body(path: str, wanted: Wanted) -> tuple[str, bytes]:
    """The smallest body that names the model: a form on the routes that take one, else JSON."""
    if "/audio/" in path and wanted.model:
        head = 'Content-Disposition: form-data; name="model"'
        form = f"--{_BOUNDARY}\r\n{head}\r\n\r\n{wanted.model}\r\n--{_BOUNDARY}--\r\n"
        return f"multipart/form-data; boundary={_BOUNDARY}", form.encode()
    return "application/json", json.dumps({"model": wanted.model} if wanted.model else {}).encode()
