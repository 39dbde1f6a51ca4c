"""One admitted call, as the operations on it see it: what was asked, how to send it on, how to answer it."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse

from common.money import shown
from gateway import call as calls
from gateway import headers, named_model, routes
from gateway.account.entry import Outcome, UsageSource
from gateway.body.request_body import announced_length
from gateway.client_address import origin
from gateway.errors import BodyTooLarge
from gateway.faces import Face
from gateway.metering.error_meter import ErrorMeter
from gateway.metering.meters import make_meter
from gateway.metering.plain_meter import Meter
from gateway.metering.transforming import Transform, TransformingMeter
from gateway.open_call import OpenCall
from gateway.paths import Target as Path
from gateway.plane import RelayPlane
from gateway.relay import Relay, RelayedAnswer, shows_health
from gateway.relayed_body import RelayedBody, account
from gateway.serving.server import ClientConnection
from gateway.time_limits import NO_WISH, wish_of
from keys.identity import Identity
from upstreams.client import Body, Outgoing, target_below
from upstreams.errors import UpstreamInvalid
from upstreams.health import Mark
from upstreams.selection import NO_TIMEOUTS, Candidate, Timeouts

Environ = MutableMapping[str, Any]

MOST_READ_FOR_COST = 4_000_000
COST_HEADERS = ("x-gateway-cost", "x-litellm-response-cost")
_WITH_BODY = {"POST", "PUT", "PATCH"}


class Exchange:
    """One admitted call whose body has arrived.

    `model` is the one that is wanted, after the key's own aliases; None where none is named. `model_in_path` is the one
    that the path names. `candidates` are the upstreams that may take the call, best first. `model_comes_later`: where
    the head names none, the operation itself checks the one that is named after it.
    """

    def __init__(
        self,
        environ: Environ,
        plane: RelayPlane,
        face: Face,
        path: Path,
        match: routes.Match,
        identity: Identity,
        call: OpenCall,
        parsed: calls.ParsedCall,
        connection: ClientConnection,
    ) -> None:
        self.environ = environ
        self.plane = plane
        self.face = face
        self.path = path
        self.match = match
        self.identity = identity
        self.call = call
        self.parsed = parsed
        self.candidates: list[Candidate] = []
        self.model: str | None = None
        self.model_in_path: str | None = None
        self.model_comes_later = False
        self._connection = connection
        self._admitted = False
        self._wish = wish_of(environ.get("HTTP_X_LITELLM_TIMEOUT"), environ.get("HTTP_X_LITELLM_STREAM_TIMEOUT"))
        self._limit(NO_TIMEOUTS)  # a call may have to wait for a place before it goes anywhere

    @property
    def client_socket(self) -> Any:
        """The client's own socket."""
        return self._connection.socket

    def end_connection(self) -> None:
        """Nothing more is read from the client's connection, or written to it."""
        self._connection.abort()

    # --- What was asked

    def read_body(self, limit: int = 10_000_000) -> bytes:
        """The whole request body. Raises BodyTooLarge over `limit` bytes."""
        body = self.parsed.body
        if body.length > limit:
            raise BodyTooLarge(limit)
        return b"".join(body.read_range(0, body.length))

    # --- On to an upstream

    def send(
        self,
        raw_target: str | None = None,
        body: bytes | None = None,
        *,
        only: Candidate | None = None,
        method: str | None = None,
    ) -> RelayedAnswer:
        """Opens the call on the first candidate that answers: as the client sent it, or as given.

        `raw_target` is path and query below the upstream's base; `body` is JSON. Model and usage are spliced into
        either. Close the answer, or hand it to one of the methods below. Raises GatewayError.
        """
        match, parsed = self.match, self.parsed
        if body is not None or raw_target is not None:
            target = (raw_target or self.path.path).partition("?")[0]
            match = routes.find(method or self.call.method, target)
            parsed = calls.parse_bytes(body, match) if body is not None else parsed
        raw = raw_target or match.upstream_raw(self.path.raw)
        hides_usage = False

        def prepare(candidate: Candidate) -> tuple[Outgoing, Body]:
            nonlocal hides_usage
            served = candidate.served_name or self.model
            self.call.served_model = served
            named = parsed.model or (self.model_in_path and "")
            edits, hides_usage = parsed.edits(served if served != named else None, adds=self.model_in_path is not None)
            outgoing_body, length = parsed.outgoing(edits)
            outgoing = self._outgoing(candidate, self._with_model(raw, parsed, served))
            if body is not None:
                outgoing["Content-Type"] = "application/json"
            if length or announced_length(self.environ) != 0 or self.call.method in _WITH_BODY:
                outgoing["Content-Length"] = str(length)
            self._before_sending(candidate, match)
            return outgoing, outgoing_body

        candidates = self.candidates if only is None else [only]
        relay = Relay(self.plane.client, self.plane.pool, self.plane.places)
        answer = relay.open(
            self.call,
            candidates,
            prepare,
            method=method,
            most_attempts=self.plane.pool.routing.most_attempts,
            looks_ahead=not self.face.verbatim or len(candidates) > 1,
        )
        answer.hides_usage = hides_usage
        answer.meter = self._meter(answer, match.meter)
        self.call.streaming = answer.is_stream
        return answer

    def _with_model(self, raw: str, parsed: calls.ParsedCall, served: str | None) -> str:
        """The target with the served name in its query, where only that names the model."""
        if served is None or parsed.model is not None or "model=" not in self.path.query:
            return raw
        return raw if named_model.in_query(self.path.query) == served else named_model.replaced(raw, served)

    def _before_sending(self, candidate: Candidate, match: routes.Match) -> None:
        call = self.call
        self._limit(candidate.upstream.timeouts)
        call.prices = candidate.prices if match.is_priced else None
        # Until the answer says how much: an upstream that has the call may work for it.
        call.usage_source = UsageSource.UNKNOWN if match.meter else UsageSource.NONE
        if not self._admitted:
            self._admitted = True
            self.plane.admitted(call)

    def _limit(self, timeouts: Timeouts) -> None:
        """From now on the call has this upstream's times, and no longer those of the one before."""
        own = self._wish is not NO_WISH or timeouts.sets_any
        self.call.limits = self.plane.limits.of(timeouts, self._wish) if own else None

    def outgoing_for(self, candidate: Candidate) -> Outgoing:
        """Head of the call as it came, for this candidate; from now on the call ends in a row, whatever happens."""
        self.call.upstream_id, self.call.upstream_name = candidate.upstream.id, candidate.upstream.name
        served = candidate.served_name or self.model
        self.call.served_model = served
        self._before_sending(candidate, self.match)
        return self._outgoing(candidate, self._with_model(self.match.upstream_raw(self.path.raw), self.parsed, served))

    def _outgoing(self, candidate: Candidate, raw_target: str) -> Outgoing:
        upstream = candidate.upstream
        client = origin(self.environ, settings.TRUSTED_PROXIES)
        passed = headers.for_upstream(
            self.environ,
            credential=upstream.credential,
            request_id=self.call.request_id,
            client_address=client.address,
            scheme=client.scheme,
            forwarded_for=client.forwarded_for,
        )
        return Outgoing(passed, target_below(upstream.base_url, raw_target))

    def _meter(self, answer: RelayedAnswer, name: str | None) -> Meter:
        response = answer.response
        if response.status >= 400:
            return ErrorMeter(response.status)
        return make_meter(
            name,
            streaming=answer.is_stream,
            hide_usage=answer.hides_usage,
            status=response.status,
            content_type=response.header("content-type"),
            headers=dict(response.headers),
            fingerprint=self.plane.fingerprints.get(self.call.upstream_id),
        )

    # --- Back to the client

    def pass_on(self, answer: RelayedAnswer) -> HttpResponseBase:
        """The upstream's answer as it is. Closes it at the end, whatever happens.

        One that is no stream and has a price is read whole first, since its cost stands in the head.
        """
        length = answer.response.header("content-length")
        if (
            self.call.prices is not None
            and not answer.is_stream
            and answer.response.status < 400
            and self.call.method != "HEAD"
            and length.isdecimal()
            and int(length) <= MOST_READ_FOR_COST
        ):
            return self._reply(answer, answer.response.status, self.read_whole(answer), but=frozenset())
        return self._relayed(answer, answer.meter, keep_length=not (answer.hides_usage and answer.is_stream))

    def stream(self, answer: RelayedAnswer, transform: Transform) -> HttpResponseBase:
        """The upstream's answer as the transform makes it, piece by piece."""
        return self._relayed(answer, TransformingMeter(answer.meter, transform), keep_length=False)

    def read_whole(self, answer: RelayedAnswer, limit: int = 32_000_000) -> bytes:
        """The whole body of an answer, which is then closed and metered. Raises UpstreamBroken, UpstreamInvalid.

        `reply` with what is made of it.
        """
        body = bytearray()
        try:
            while chunk := answer.read1():
                body += answer.meter.feed(chunk)
                if len(body) > limit:
                    raise UpstreamInvalid("The upstream's answer is too large for what was asked.")
            body += answer.meter.end()
        finally:
            answer.close()
        return bytes(body)

    def reply(
        self, answer: RelayedAnswer, status: int, body: bytes, content_type: str = "application/json"
    ) -> HttpResponseBase:
        """A body of ours in the place of the upstream's, with its end-to-end headers."""
        return self._reply(answer, status, body, but=frozenset({"content-type"}), content_type=content_type)

    def _reply(
        self, answer: RelayedAnswer, status: int, body: bytes, *, but: frozenset[str], content_type: str | None = None
    ) -> HttpResponseBase:
        answer.close()
        if status >= 500 or shows_health(self.call):
            answer.mark(Mark.OK if status < 500 else Mark.SERVER_ERROR)
        response = HttpResponse(body, status=status, content_type=content_type)
        if content_type is None:
            del response.headers["Content-Type"]
        self._copy_headers(response, answer, keep_length=False, but=but | {"content-length"})
        return self._finished(response, answer.meter)

    def answer_locally(self, status: int, body: bytes, content_type: str = "application/json") -> HttpResponseBase:
        """An answer that no upstream had a part in."""
        response = HttpResponse(body, status=status, content_type=content_type)
        response.headers["x-request-id"] = self.call.request_id
        response.headers["x-litellm-call-id"] = self.call.call_id
        return self._finished(response, None)

    def _finished(self, response: HttpResponse, meter: Meter | None) -> HttpResponseBase:
        """The response, with the call's account closed: what is left is one write."""
        call = self.call
        response.headers["Content-Length"] = str(len(response.content))
        call.status, call.bytes_out = response.status_code, len(response.content)
        if meter is not None:
            account(call, meter, self.plane.fingerprints)
            call.error_type, call.error_text = meter.failure, meter.failure_text or None
        failed = response.status_code >= 500 or (
            response.status_code < 400 and meter is not None and meter.failure is not None
        )
        call.finish(Outcome.UPSTREAM_FAILED if failed else Outcome.COMPLETED)
        if call.cost is not None:
            for name in COST_HEADERS:
                response.headers[name] = shown(call.cost)
        return response

    def _relayed(self, answer: RelayedAnswer, meter: Meter, *, keep_length: bool) -> HttpResponseBase:
        try:
            body = RelayedBody(self.call, answer, meter, self._connection, self.plane.fingerprints)
            self.environ["gateway.abandon"] = body.close
            status, reason = answer.response.status, answer.response.reason
            # Django would look a charset up for a type that does not stay: the upstream's comes below, or none.
            response = StreamingHttpResponse(body, status=status, reason=reason, content_type="")
            del response.headers["Content-Type"]
            self._copy_headers(response, answer, keep_length=keep_length)
        except BaseException:
            answer.close()
            raise
        return response

    def _copy_headers(
        self,
        response: HttpResponseBase,
        answer: RelayedAnswer,
        *,
        keep_length: bool,
        but: frozenset[str] = frozenset(),
    ) -> None:
        passed = headers.for_client(
            answer.response.headers,
            upstream_base=answer.candidate.upstream.base_url,
            prefix=self.face.prefix,
            request_id=self.call.request_id,
            call_id=self.call.call_id,
            keep_length=keep_length,
        )
        for name, value in passed:
            lower = name.lower()
            if lower == "server":
                self._connection.set_server_name(value)
            elif lower in but:
                continue
            elif name in response.headers:
                response.headers[name] = f"{response.headers[name]}, {value}"
            else:
                response.headers[name] = value
        for name, value in self.call.bill.headers:
            response.headers[name] = value
