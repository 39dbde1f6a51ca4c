"""One call through the relay, step by step: judge the path, find out who calls, admit, pass on, account.

Everything up to the body is decided from the head; nothing here queries a database.
"""

from __future__ import annotations

import logging
import time
from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase, JsonResponse

from common.errors import GatewayError
from gateway import call as calls
from gateway import end_users, headers, named_model, operations, paths, routes
from gateway.account.call_ids import new_call_id
from gateway.account.entry import MAX_LENGTHS, Outcome, clean_text
from gateway.body.prompt import prompt_prefix
from gateway.body.request_body import announced_length, receive
from gateway.charging import Bill, asked_of, parties_of
from gateway.client_address import origin
from gateway.client_watch import ClientWatch
from gateway.cuts import CallCut, client_gone
from gateway.error_handler import answer
from gateway.errors import DuplicateModel, ModelUnknown, UnsafeTarget, UpstreamSaid, UpstreamSaturated
from gateway.exchange import Exchange
from gateway.faces import VLLM, Face
from gateway.open_call import OpenCall, Phase
from gateway.openai import model_paths, surface
from gateway.plane import RelayPlane
from gateway.route_groups import groups_of
from gateway.serving.server import ClientConnection
from keys.authentication import check_usable, recognise
from keys.errors import KeyUnknown
from keys.identity import INFERENCE, Identity
from keys.limits import Asked, charges_for
from keys.permissions import (
    check_address,
    check_class,
    check_model,
    check_parties,
    check_route,
    check_served,
    check_upstream,
    may_use_model,
    resolve_alias,
)
from upstreams.errors import CredentialUnreadable, NoUpstream, UpstreamError, UpstreamTimeout
from upstreams.health import Mark
from upstreams.selection import NO_HINTS, Candidate, Hints

logger = logging.getLogger(__name__)

Environ = MutableMapping[str, Any]

ANY_CALL = Asked(is_inference=False)
"""For limits that count calls, whatever they use."""


class RefusedResponse(JsonResponse):
    """An error that is answered before the request's body was read: the connection ends after it."""

    connection: ClientConnection

    def close(self) -> None:
        super().close()
        self.connection.linger()


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
        model, target = self._read_target()
        self._plane.check_serving()
        match = routes.find(self._method, target.route)
        identity = self._identify()
        self._call = self._open_call(identity, match)
        check_usable(identity, self._call.received_at)
        check_parties(parties_of(identity, None, self._plane.keys.parties), None)
        if not self._face.verbatim:
            surface.check(target, match)
        check_class(identity, match.endpoint_class)
        check_address(identity, self._call.client_address)
        if identity.allowed_routes:
            check_route(identity, self._face.prefix + target.path, groups_of(self._face, match))
        parsed = self._receive(self._call, match)
        try:
            self._watch(self._call)
            exchange = Exchange(
                self._environ, self._plane, self._face, target, match, identity, self._call, parsed, self._connection
            )
            exchange.model_in_path = model
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
        exchange.choose = lambda: self._choose_for(exchange)
        exchange.charge_visit = lambda: self._charge_visit(exchange)
        local = operations.find(operations.LOCAL_OPERATIONS, exchange)
        if local is not None:
            return local(exchange)
        exchange.choose()
        return (operations.find(operations.OPERATIONS, exchange) or operations.pass_on)(exchange)

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
        call.priority = identity.priority
        call.team_id = identity.team_id
        call.end_user = end_users.named_in(environ)
        call.tags = _tags(identity.tags, environ)
        plane.open_calls.add(call)
        return call

    # --- Whether

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

    def _watch(self, call: OpenCall) -> None:
        if self._connection.socket is not None:
            call.watch(ClientWatch(self._connection.socket, lambda: call.cut(client_gone())))

    # --- Where to

    def _choose_for(self, exchange: Exchange) -> None:
        """Finds out where the call can go, and takes what it is charged."""
        exchange.candidates = self._choose(exchange)
        self._charge(exchange)

    def _charge(self, exchange: Exchange) -> None:
        """Raises HolderBlocked, EndUserBlocked, ModelDenied, LimitExceeded, BudgetExceeded, LimitsAway."""
        call, plane = exchange.call, self._plane
        parties = parties_of(exchange.identity, call.end_user, plane.keys.parties)
        if not parties:
            return
        call.bill = Bill(parties)
        check_parties(parties, self._model_to_check(exchange))
        if not any(party.limits.any_set for party in parties):
            return
        if not any(party.limits.by_use for party in parties):
            self._take(call, ANY_CALL)
            return
        asked = asked_of(exchange.parsed, exchange.match, exchange.model, exchange.candidates)
        self._take(call, self._with_names(exchange, asked))

    def _charge_visit(self, exchange: Exchange) -> None:
        """A look at what was made before: it has a place and counts as a call, and uses no model and no budget.

        Raises as `_charge`.
        """
        call = exchange.call
        call.bill = Bill(parties_of(exchange.identity, call.end_user, self._plane.keys.parties))
        check_parties(call.bill.parties, None)
        self._take(call, ANY_CALL)

    def _take(self, call: OpenCall, asked: Asked) -> None:
        charges = charges_for(call.bill.parties, asked, self._plane.ledger.of)
        if not charges:
            return
        call.bill.charges = charges
        with call:
            standings = self._plane.counters.take(call.call_id, charges)
        call.bill.note(charges, standings)

    def _with_names(self, exchange: Exchange, asked: Asked) -> Asked:
        """With what the model that answers is called, where the call does not prove which it is: vLLM takes the one
        that it has, which has its limits all the same."""
        match = exchange.match
        if match.endpoint_class != INFERENCE or not (match.names_model or exchange.model_comes_later):
            return asked
        if not exchange.parsed.is_readable:
            return replace(asked, may_be_any=True)
        if not exchange.model_comes_later and exchange.model is not None and _is_proven(exchange):
            return asked
        names = {name for one in exchange.candidates for name in self._plane.pool.names_at(one.upstream.id)}
        return replace(asked, names=tuple(sorted(names)), may_be_any=not names)

    def _model_to_check(self, exchange: Exchange) -> str | None:
        """The model that a team's list must hold; "" where it cannot be told, None where nothing has to be checked."""
        if exchange.match.endpoint_class != INFERENCE or (exchange.model_comes_later and exchange.call.model is None):
            return None
        if exchange.call.model is not None or not exchange.parsed.is_readable:
            return (exchange.model if _is_proven(exchange) else None) or ""
        return self._plane.pool.served_model_of(exchange.candidates[0].upstream.id) or ""

    def _choose(self, exchange: Exchange) -> list[Candidate]:
        """Which upstreams may take the call, and whether the key may use the model that would answer."""
        call, parsed, match, pool = exchange.call, exchange.parsed, exchange.match, self._plane.pool
        if call.end_user is None and parsed.user:
            call.end_user = clean_text(parsed.user, MAX_LENGTHS["end_user"])
        # Where vLLM reads no body, what one says of a model proves nothing.
        is_told = match.names_model or match.endpoint_class != INFERENCE
        call.model = _asked_for(parsed.model if is_told else None, exchange.path.query, exchange.model_in_path)
        exchange.model = call.model and resolve_alias(exchange.identity, call.model)
        named = self._named_upstream(exchange.identity)
        is_open = exchange.model_comes_later and call.model is None
        if match.endpoint_class == INFERENCE and exchange.identity.models and not is_open:
            self._check_model(exchange, named)
        if named is not None:
            return [pool.on(named, exchange.model)]
        if exchange.model is not None and not self._face.verbatim:
            self._check_known(exchange)
        return list(pool.candidates(exchange.model, self._hints(exchange)))

    def _named_upstream(self, identity: Identity) -> Candidate | None:
        name = self._face.upstream
        if name is None:
            name = self._environ.get("HTTP_X_GATEWAY_UPSTREAM")
        if name is None:
            return None
        check_upstream(identity, name)
        return self._plane.pool.named(name)

    def _check_model(self, exchange: Exchange, named: Candidate | None) -> None:
        model, pool = exchange.call.model, self._plane.pool
        if model is not None or not exchange.parsed.is_readable:
            check_model(exchange.identity, model if _is_proven(exchange) else None)
        else:  # vLLM takes the one that it has
            served = pool.default_served_model() if named is None else pool.served_model_of(named.upstream.id)
            check_served(exchange.identity, served)

    def _check_known(self, exchange: Exchange) -> None:
        """Raises ModelUnknown where no upstream has the model and others are known."""
        pool, model = self._plane.pool, exchange.model
        if model is None or pool.knows(model):
            return
        known = [one.alias for one in pool.models()]
        if known:
            usable = [alias for alias in known if may_use_model(exchange.identity, alias)]
            raise ModelUnknown(exchange.call.model or model, usable)

    def _hints(self, exchange: Exchange) -> Hints:
        session = self._environ.get("HTTP_X_SESSION_ID")
        wanted = self._plane.pool.prefix_bytes(exchange.model)
        priority = exchange.identity.priority
        if session is None and not wanted and not priority:
            return NO_HINTS
        return Hints(session, prompt_prefix(exchange.parsed.body, wanted) if wanted else b"", priority)

    # --- When it goes otherwise

    def _cut_short(self, cut: CallCut) -> HttpResponseBase:
        """The call ended before there was an answer."""
        if self._call is not None:
            if isinstance(cut.error, UpstreamTimeout):
                self._plane.pool.mark(self._call.upstream_id, Mark.TIMEOUT)
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
            for name, value in self._call.bill.headers:
                response.headers.setdefault(name, value)
            response.headers["x-litellm-call-id"] = self._call.call_id
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


def _is_proven(exchange: Exchange) -> bool:
    """Whether vLLM will take the model that the call names. Where it reads a body, that alone decides (the model of an
    engine's path is put into it): a query proves nothing there, and nothing proves what an unreadable body says."""
    parsed = exchange.parsed
    return not exchange.match.names_model or (parsed.is_readable and bool(parsed.model or exchange.model_in_path))


def _asked_for(in_body: str | None, query: str, in_path: str | None) -> str | None:
    """The model that the call names. Raises DuplicateModel when body, query and path name two."""
    in_query = named_model.in_query(query) if "model=" in query else None
    named = {name for name in (in_body, in_query, in_path) if name}
    if len(named) > 1:
        raise DuplicateModel
    return named.pop() if named else None
