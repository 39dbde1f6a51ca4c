"""One call through the relay, step by step: judge the path, find out who calls, admit, pass on, account.

Everything up to the body is decided from the head; nothing here queries a database.
"""

from __future__ import annotations

import logging
import time
from collections.abc import MutableMapping
from typing import Any

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse

from common.errors import GatewayError
from gateway import call as calls
from gateway import headers, paths, routes
from gateway.account.call_ids import new_call_id
from gateway.account.entry import Outcome, UsageSource
from gateway.body.request_body import announced_length, receive
from gateway.client_address import origin
from gateway.client_watch import ClientWatch
from gateway.cuts import CallCut, client_gone
from gateway.error_handler import answer
from gateway.errors import UnsafeTarget
from gateway.metering.error_meter import ErrorMeter
from gateway.metering.meters import make_meter
from gateway.metering.plain_meter import Meter
from gateway.open_call import OpenCall, Phase
from gateway.plane import RelayPlane
from gateway.relay import Relay, RelayedAnswer, RelayedBody
from gateway.serving.server import ClientConnection
from keys.authentication import check_usable, recognise
from keys.errors import KeyUnknown
from keys.identity import INFERENCE, Identity
from keys.limits import charges_for
from keys.permissions import check_class, check_model
from upstreams.client import Body, Outgoing, UpstreamResponse, target_below
from upstreams.errors import CredentialUnreadable, NoUpstream, UpstreamError
from upstreams.selection import Candidate

logger = logging.getLogger(__name__)

Environ = MutableMapping[str, Any]


class RefusedResponse(JsonResponse):
    """An error that is answered before the request's body was read: the connection ends after it."""

    connection: ClientConnection

    def close(self) -> None:
        super().close()
        self.connection.linger()


class PassThrough:
    """One request to `prefix` + anything. `answer` it once."""

    def __init__(self, environ: Environ, plane: RelayPlane, *, prefix: str = "/vllm") -> None:
        self._environ = environ
        self._plane = plane
        self._prefix = prefix
        self._method = str(environ["REQUEST_METHOD"])
        self._connection = ClientConnection(environ)
        self._request_id = headers.request_id(environ, new_call_id)
        self._call: OpenCall | None = None
        self._unread = announced_length(environ) != 0

    def answer(self) -> HttpResponseBase:
        """The answer, whatever it is. Raises nothing that it knows."""
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
            raise

    def _answer(self) -> HttpResponseBase:
        try:
            target = paths.parse(str(self._environ["RAW_URI"]), self._prefix)
        except paths.UnsafePath as error:
            raise UnsafeTarget from error
        self._plane.check_serving()
        match = routes.find(self._method, target.route)
        identity = self._identify()
        self._call = self._open_call(identity, match)
        check_usable(identity, self._call.received_at)
        check_class(identity, match.endpoint_class)
        self._take_places(identity, self._call)
        parsed = self._receive(self._call, match)
        try:
            self._watch(self._call)
            candidates = self._choose(identity, self._call, match, parsed)
            return self._relay(self._call, match.upstream_raw(target.raw), candidates, parsed)
        finally:
            parsed.body.close()

    # --- Who

    def _identify(self) -> Identity:
        plane = self._plane
        try:
            return recognise(self._environ, plane.keys, plane.look)
        except KeyUnknown:
            plane.unknown_keys += 1
            raise

    def _open_call(self, identity: Identity, match: routes.Match) -> OpenCall:
        environ, plane = self._environ, self._plane
        call = OpenCall(
            call_id=new_call_id(),
            request_id=self._request_id,
            received_at=time.time(),
            method=self._method,
            on_end=plane.ended,
        )
        call.key_id, call.key_name, call.user_id = identity.key_id, identity.label, identity.user_id
        call.secret_id = identity.secret_id
        call.route, call.endpoint_class = match.template, match.endpoint_class
        call.client_address = origin(environ, settings.TRUSTED_PROXIES).address
        call.user_agent = environ.get("HTTP_USER_AGENT", "")
        call.end_user = environ.get("HTTP_X_LITELLM_END_USER_ID") or environ.get("HTTP_X_END_USER_ID")
        call.tags = [*identity.tags, *_tags(environ.get("HTTP_X_LITELLM_TAGS", ""))]
        plane.open_calls.add(call)
        return call

    # --- Whether

    def _take_places(self, identity: Identity, call: OpenCall) -> None:
        charges = charges_for(identity)
        if charges:
            call.holds_lease = True
            with call:
                self._plane.counters.take(call.call_id, charges)

    def _receive(self, call: OpenCall, match: routes.Match) -> calls.ParsedCall:
        environ = self._environ
        scanner = calls.scanner_for(match, str(environ.get("CONTENT_TYPE", "")))
        call.enter(Phase.BODY)

        def count(total: int) -> None:
            call.bytes_in = total

        body = receive(
            environ["wsgi.input"],
            length=announced_length(environ),
            limit=settings.MAX_BODY_BYTES,
            spool=self._plane.spool,
            scanners=[scanner],
            on_bytes=count,
        )
        self._unread = False
        call.enter(Phase.ADMISSION)
        try:
            return calls.parse(body, match, scanner)
        except BaseException:
            body.close()
            raise

    def _choose(
        self, identity: Identity, call: OpenCall, match: routes.Match, parsed: calls.ParsedCall
    ) -> list[Candidate]:
        """Which upstreams may take the call, and whether the key may use the model that would answer."""
        pool = self._plane.pool
        call.end_user = call.end_user or parsed.user
        # Where vLLM reads no body, what one says of a model proves nothing.
        call.model = parsed.model if match.names_model or match.endpoint_class != INFERENCE else None
        if match.endpoint_class == INFERENCE and identity.models:
            check_model(identity, call.model or (pool.default_served_model() if parsed.is_readable else None))
        return list(pool.candidates(call.model))

    # --- On to the upstream

    def _watch(self, call: OpenCall) -> None:
        if self._connection.socket is not None:
            call.watch(ClientWatch(self._connection.socket, lambda: call.cut(client_gone())))

    def _relay(
        self, call: OpenCall, raw_target: str, candidates: list[Candidate], parsed: calls.ParsedCall
    ) -> HttpResponseBase:
        asked_for_usage = False

        def prepare(candidate: Candidate) -> tuple[Outgoing, Body]:
            nonlocal asked_for_usage
            edits, asked_for_usage = parsed.edits(candidate.served_name)
            body, length = parsed.outgoing(edits)
            outgoing = self._outgoing(candidate, raw_target)
            if length or announced_length(self._environ) != 0 or self._method in {"POST", "PUT", "PATCH"}:
                outgoing["Content-Length"] = str(length)
            # Until the answer says how much: an upstream that has the call may work for it.
            call.usage_source = UsageSource.UNKNOWN if parsed.match.meter else UsageSource.NONE
            self._plane.admitted(call)
            return outgoing, body

        relayed = Relay(self._plane.client, self._plane.pool).open(call, candidates, prepare)
        try:
            return self._respond(call, relayed, parsed, hide_usage=asked_for_usage)
        except BaseException:
            relayed.close()
            raise

    def _outgoing(self, candidate: Candidate, raw_target: str) -> Outgoing:
        upstream = candidate.upstream
        client = origin(self._environ, settings.TRUSTED_PROXIES)
        passed = headers.for_upstream(
            self._environ,
            credential=upstream.credential,
            request_id=self._request_id,
            client_address=client.address,
            scheme=client.scheme,
            forwarded_for=client.forwarded_for,
        )
        return Outgoing(passed, target_below(upstream.base_url, raw_target))

    def _respond(
        self, call: OpenCall, relayed: RelayedAnswer, parsed: calls.ParsedCall, *, hide_usage: bool
    ) -> StreamingHttpResponse:
        response = relayed.response
        call.streaming = response.header("content-type").startswith("text/event-stream")
        meter = self._meter(call, response, parsed.match.meter, hide_usage=hide_usage)
        body = RelayedBody(call, relayed, meter, self._connection, self._plane.fingerprints)
        self._environ["gateway.abandon"] = body.close
        answered = StreamingHttpResponse(body, status=response.status, reason=response.reason)
        del answered.headers["Content-Type"]
        passed = headers.for_client(
            response.headers,
            upstream_base=relayed.candidate.upstream.base_url,
            prefix=self._prefix,
            request_id=self._request_id,
            call_id=call.call_id,
            keep_length=not (hide_usage and call.streaming),
        )
        for name, value in passed:
            if name.lower() == "server":
                self._connection.set_server_name(value)
            elif name in answered.headers:
                answered.headers[name] = f"{answered.headers[name]}, {value}"
            else:
                answered.headers[name] = value
        return answered

    def _meter(self, call: OpenCall, response: UpstreamResponse, name: str | None, *, hide_usage: bool) -> Meter:
        if response.status >= 400:
            return ErrorMeter(response.status)
        return make_meter(
            name,
            streaming=call.streaming,
            hide_usage=hide_usage,
            status=response.status,
            content_type=response.header("content-type"),
            headers=dict(response.headers),
            fingerprint=self._plane.fingerprints.get(call.upstream_id),
        )

    # --- When it goes otherwise

    def _cut_short(self, cut: CallCut) -> HttpResponseBase:
        """The call ended before there was an answer."""
        if self._call is not None:
            self._call.status = cut.error.status_code if cut.error else None
            self._call.fail(cut.outcome, cut.error)
        if cut.error is None:
            self._connection.abort()
            return HttpResponse(status=499)
        return self._error_response(cut.error)

    def _refuse(self, error: GatewayError, unexpected: Exception | None = None) -> HttpResponseBase:
        if self._call is not None:
            self._call.status = error.status_code
            self._call.fail(_outcome_of(error, unexpected), error)
        return self._error_response(error)

    def _error_response(self, error: GatewayError) -> HttpResponseBase:
        response = answer(error)
        if self._unread:
            self._connection.close_after()
            response.__class__ = RefusedResponse
            response.connection = self._connection  # type: ignore[attr-defined]
        response.headers["x-request-id"] = self._request_id
        if self._call is not None:
            response.headers["x-litellm-call-id"] = self._call.call_id
        return response


def _outcome_of(error: GatewayError, unexpected: Exception | None) -> Outcome:
    if unexpected is not None:
        return Outcome.GATEWAY_FAILED
    if isinstance(error, UpstreamError | NoUpstream | CredentialUnreadable):
        return Outcome.UPSTREAM_FAILED
    return Outcome.REFUSED if error.status_code < 500 else Outcome.GATEWAY_FAILED


def _tags(header: str) -> list[str]:
    return [tag.strip() for tag in header.split(",") if tag.strip()]
