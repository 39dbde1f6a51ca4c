"""One call through the relay, step by step: judge the path, find out who calls, admit, pass on, account.

Everything up to the body is decided from the head; nothing here queries a database.
"""

from __future__ import annotations

import logging
import time
from collections.abc import MutableMapping
from typing import Any

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase

from common.errors import GatewayError
from gateway import call as calls
from gateway import end_users, headers, operations, paths, routes
from gateway.account.call_ids import new_call_id
from gateway.account.decisions import BY_A_LOOK, IN_MEMORY, MASTER_KEY, NO_KEY, Decisions
from gateway.account.entry import Outcome
from gateway.admission import admit, admit_body, check_head
from gateway.body.request_body import announced_length, receive
from gateway.capture.capturing import Capturing
from gateway.capture.capturing import begin as begin_capturing
from gateway.client_address import origin
from gateway.client_watch import ClientWatch
from gateway.cuts import CallCut, client_gone
from gateway.error_handler import answer
from gateway.errors import UnsafeTarget, UpstreamSaid, UpstreamSaturated
from gateway.exchange import Exchange
from gateway.faces import VLLM, Face
from gateway.open_call import OpenCall, Phase
from gateway.openai import model_paths, surface
from gateway.plane import RelayPlane
from gateway.refused_unread import ending
from gateway.serving.server import ClientConnection
from keys.authentication import check_usable, presenting_header, recognise
from keys.identity import ANONYMOUS, MASTER, Identity
from upstreams.errors import CredentialUnreadable, NoUpstream, UpstreamError, UpstreamTimeout
from upstreams.health import Mark

logger = logging.getLogger(__name__)

Environ = MutableMapping[str, Any]


class PassThrough:
    """One request to one of the faces. `answer` it once."""

    def __init__(self, environ: Environ, plane: RelayPlane, *, face: Face = VLLM) -> None:
        self._environ = environ
        self._plane = plane
        self._face = face
        self._method = str(environ["REQUEST_METHOD"])
        self._connection = ClientConnection(environ)
        self._request_id = headers.request_id(environ, new_call_id)
        self._call: OpenCall | None = None
        self._capturing: Capturing | None = None
        self._length = announced_length(environ)
        self._unread = self._length != 0
        self._began = time.monotonic()
        self._received_at = time.time()
        self._call_id = new_call_id()
        self._looked = False

    def answer(self) -> HttpResponseBase:
        """The answer, whatever it is. Raises nothing that it knows."""
        response = self._answer_or_refuse()
        return response if self._capturing is None else self._capturing.attach(response)

    def _answer_or_refuse(self) -> HttpResponseBase:
        try:
            return self._answer()
        except CallCut as cut:
            return self._cut_short(cut)
        except GatewayError as error:
            return self._refuse(error)
        except Exception as error:
            logger.exception("The relay failed.")
            return self._refuse(GatewayError(), unexpected=error)
        except BaseException:
            if self._call is not None:
                self._call.fail(Outcome.GATEWAY_FAILED, GatewayError())
            if self._capturing is not None:
                self._capturing.drop()
            raise

    def _answer(self) -> HttpResponseBase:
        model, target = self._read_target()
        self._plane.check_serving()
        match = routes.find(self._method, target.route)
        identity = self._identify()
        self._call = self._open_call(identity, match)
        check_usable(identity, self._call.received_at)
        check_head(identity, self._face, target, match, self._call, self._plane)
        admit_body(self._length, match, self._call, self._plane)
        parsed = self._receive(self._call, match)
        try:
            self._watch(self._call)
            exchange = Exchange(
                self._environ, self._plane, self._face, target, match, identity, self._call, parsed, self._connection
            )
            exchange.model_in_path = model
            if self._plane.captures.active:
                self._capturing = begin_capturing(exchange)
            return self._operate(exchange)
        finally:
            parsed.body.close()

    def _read_target(self) -> tuple[str | None, paths.Target]:
        """The model that the path names, if it does, and the target that is meant. Raises UnsafeTarget."""
        raw, prefix = str(self._environ["RAW_URI"]), self._face.prefix
        try:
            found = model_paths.engine(raw, prefix) if "/engines/" in raw else None
            if found is None and not self._face.verbatim:
                found = model_paths.listed(raw)
            model, raw = found or (None, raw)
            target = paths.parse(raw, prefix)
        except paths.UnsafePath as error:
            raise UnsafeTarget from error
        return model, target if self._face.verbatim else surface.placed(target)

    def _operate(self, exchange: Exchange) -> HttpResponseBase:
        local = operations.find(operations.LOCAL_OPERATIONS, exchange)
        if local is not None:
            return local(exchange)
        admit(exchange)
        return (operations.find(operations.OPERATIONS, exchange) or operations.pass_on)(exchange)

    # --- Who

    def _identify(self) -> Identity:
        """Who calls; the policy check, which has no secret, says it of the call that it asks about."""
        return recognise(self._environ, self._plane.keys, self._look)

    def _look(self) -> None:
        self._looked = True
        self._plane.look()

    def _open_call(self, identity: Identity, match: routes.Match) -> OpenCall:
        environ, plane = self._environ, self._plane
        call = OpenCall(
            call_id=self._call_id,
            request_id=self._request_id,
            received_at=self._received_at,
            opened_at=self._began,
            method=self._method,
            on_end=plane.ended,
        )
        call.key_id, call.key_name, call.user_id = identity.key_id, identity.label, identity.user_id
        call.secret_id = identity.secret_id
        call.route, call.endpoint_class = match.template, match.endpoint_class
        call.client_address = origin(environ, settings.TRUSTED_PROXIES).address
        call.user_agent = environ.get("HTTP_USER_AGENT", "")
        call.priority = identity.priority
        call.team_id = identity.team_id
        call.end_user = end_users.named_in(environ)
        call.tags = _tags(identity.tags, environ)
        self._note_key(call.decisions, identity)
        plane.open_calls.add(call)
        return call

    def _note_key(self, noted: Decisions, identity: Identity) -> None:
        if identity is MASTER:
            noted.key = MASTER_KEY
        elif identity is ANONYMOUS:
            noted.key = NO_KEY
        else:
            noted.key = BY_A_LOOK if self._looked else IN_MEMORY
        noted.header = presenting_header(self._environ)
        noted.prefix, noted.began = self._face.prefix, self._began

    # --- Whether

    def _receive(self, call: OpenCall, match: routes.Match) -> calls.ParsedCall:
        environ = self._environ
        scanner = calls.scanner_for(match, str(environ.get("CONTENT_TYPE", "")))
        call.enter(Phase.BODY)
        call.decisions.checked = call.progress_at

        def count(total: int) -> None:
            call.bytes_in = total

        body = receive(
            environ["wsgi.input"],
            length=self._length,
            limit=settings.MAX_BODY_BYTES,
            spool=self._plane.spool,
            scanners=[scanner],
            on_bytes=count,
        )
        self._unread = False
        call.enter(Phase.ADMISSION)
        call.decisions.body = call.progress_at
        try:
            return calls.parse(body, match, scanner)
        except BaseException:
            body.close()
            raise

    def _watch(self, call: OpenCall) -> None:
        if self._connection.socket is not None:
            call.watch(ClientWatch(self._connection.socket, lambda: call.cut(client_gone())))

    # --- When it goes otherwise

    def _cut_short(self, cut: CallCut) -> HttpResponseBase:
        """The call ended before there was an answer."""
        if self._call is not None and isinstance(cut.error, UpstreamTimeout):
            self._plane.pool.mark(self._call.upstream_id, Mark.TIMEOUT)
        if cut.error is None:
            if self._call is not None:
                self._call.status = None
                self._call.fail(cut.outcome, None)
            self._connection.abort()
            return HttpResponse(status=499)
        return self._error_response(cut.error, cut.outcome)

    def _refuse(self, error: GatewayError, unexpected: Exception | None = None) -> HttpResponseBase:
        if self._call is None:
            self._plane.unlisted.add(error, self._environ)
        return self._error_response(error, _outcome_of(error, unexpected))

    def _error_response(self, error: GatewayError, outcome: Outcome) -> HttpResponseBase:
        """What the client is told, with the call's account closed: what is left is one write."""
        response = answer(error)
        if self._unread:
            response = ending(response, self._connection)
        response.headers["x-request-id"] = self._request_id
        call = self._call
        if call is not None:
            call.status, call.bytes_out = error.status_code, len(response.content)
            call.fail(outcome, error)
            for name, value in call.bill.headers:
                response.headers.setdefault(name, value)
            response.headers["x-litellm-call-id"] = call.call_id
        return response


def _outcome_of(error: GatewayError, unexpected: Exception | None) -> Outcome:
    if unexpected is not None:
        return Outcome.GATEWAY_FAILED
    if isinstance(error, UpstreamSaid) and error.status_code < 500:
        return Outcome.COMPLETED  # the upstream's refusal of what the caller sent
    if isinstance(error, UpstreamError | NoUpstream | CredentialUnreadable | UpstreamSaturated):
        return Outcome.UPSTREAM_FAILED
    return Outcome.REFUSED if error.status_code < 500 else Outcome.GATEWAY_FAILED


def _tags(of_key: tuple[str, ...], environ: Environ) -> list[str]:
    """The key's tags, and those that the caller names."""
    headers = (environ.get(name, "") for name in ("HTTP_X_GATEWAY_TAGS", "HTTP_X_LITELLM_TAGS"))
    named = (tag.strip() for header in headers for tag in header.split(","))
    return [*of_key, *(tag for tag in named if tag)]
