"""The chain of decisions that a call went through, in the order of the gateway's own, and where it ended. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from common.admin import BAD, GOOD, QUIET, WARNING, duration, figure
from gateway.account.entry import Outcome
from gateway.admin_pages.log_facts import CandidateSeen, Facts, LimitSeen
from gateway.models import RequestLog

KEY, ACCESS, BODY, MODEL, LIMITS, PLACE, UPSTREAM, ANSWER = range(8)
_TITLES = (
    "Virtual key",
    "Endpoint class and route",
    "Request body",
    "Model",
    "Limits",
    "A place at an upstream",
    "Upstream",
    "Answer",
)

# At which step each refusal or failure of ours ends a call, by error type.
_STOPS = {
    **dict.fromkeys(("expired_key", "auth_error"), KEY),
    **dict.fromkeys(("key_route_access_denied", "key_address_access_denied", "end_user_blocked"), ACCESS),
    **dict.fromkeys(("not_found_error", "unsupported_operation"), ACCESS),
    **dict.fromkeys(("request_too_large", "request_timeout", "invalid_request_error"), BODY),
    **dict.fromkeys(("NotFoundError", "key_model_access_denied", "key_upstream_access_denied"), MODEL),
    **dict.fromkeys(("upstream_not_found", "no_upstream", "upstream_credential_unreadable"), MODEL),
    **dict.fromkeys(("throttling_error", "budget_exceeded", "limits_unavailable"), LIMITS),
    "upstream_saturated": PLACE,
}
_FOUND = {
    "memory": "{who} was known from memory.",
    "database": "{who} was not known in memory yet, and found by one look at the database.",
    "master": "The call came with the master key.",
    "none": "The call came without a known key, which this gateway allows (GATEWAY_REQUIRE_KEYS is false).",
}
_WAYS = {
    "model": "Upstreams have a deployment of this name.",
    "default": "No upstream has a deployment of this name, so the default upstream takes it.",
    "fallback": "No upstream is set up, so the gateway's built-in address stands in.",
    "named": "The call names the upstream itself.",
}
_STRATEGIES = {
    "least_in_flight": "the one with the fewest calls open from here",
    "weighted_round_robin": "each its share of the calls, by weight",
    "lowest_waiting": "the one with the shortest queue by its own figures",
    "session_affinity": "calls of one session to one upstream",
    "prefix_affinity": "prompts that begin alike to one upstream, while it is not much busier",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One decision: its verdict, and what was known then."""

    title: str
    kind: str
    verdict: str
    sentences: tuple[str, ...] = ()
    limits: tuple[LimitSeen, ...] = ()
    among: tuple[CandidateSeen, ...] = ()


def chain_of(call: RequestLog, facts: Facts) -> list[Step]:
    """All steps; those that the call did not reach say so."""
    stop = _stop(call)
    steps = []
    for number, title in enumerate(_TITLES):
        if number > stop:
            steps.append(Step(title, QUIET, "not reached"))
            continue
        kind, verdict = _verdict(call, number, is_last=number == stop)
        told = tuple(one for one in _SENTENCES[number](call, facts) if one)
        if number == stop and call.error_text and number != ANSWER:
            told = (*told, call.error_text)
        limits = tuple(facts.limits) if number == LIMITS else ()
        among = tuple(facts.among) if number == UPSTREAM else ()
        steps.append(Step(title, kind, verdict, told, limits, among))
    return steps


def _stop(call: RequestLog) -> int:
    """The last step that the call reached."""
    if call.outcome == Outcome.COMPLETED or call.head_at is not None:
        return ANSWER
    if call.outcome == Outcome.LOST:
        return UPSTREAM if call.upstream_id is not None or call.upstream_name else ANSWER
    known = _STOPS.get(call.error_type or "")
    if known is not None:
        return known
    if call.upstream_name:
        return UPSTREAM
    return ACCESS if call.outcome == Outcome.REFUSED else MODEL


def _verdict(call: RequestLog, step: int, *, is_last: bool) -> tuple[str, str]:
    if not is_last:
        return (WARNING, "waited") if step == PLACE and call.queue_ms is not None else (GOOD, "passed")
    if call.outcome == Outcome.COMPLETED:
        status = call.status or 0
        return (GOOD, "complete") if status < 400 else (BAD if status >= 500 else WARNING, f"answered {status}")
    if call.outcome == Outcome.REFUSED:
        return BAD, "refused here"
    words = {Outcome.CLIENT_DISCONNECTED: (QUIET, "client left"), Outcome.LOST: (BAD, "end not known")}
    return (
        words.get(Outcome(call.outcome), (BAD, "failed here")) if call.outcome in set(Outcome) else (BAD, call.outcome)
    )


def _key(call: RequestLog, facts: Facts) -> Iterator[str]:
    who = f"“{call.key_name}”" if call.key_name else "The key"
    yield _FOUND.get(facts.text("key"), "{who}." if call.key_name else "").format(who=who)
    if header := facts.text("header"):
        yield f"It came in the header {header}."


def _access(call: RequestLog, facts: Facts) -> Iterator[str]:
    words = (call.endpoint_class or "").replace("_", " ")
    yield f"{call.method} {call.route}" + (f" is of the class {words}." if words else ".")
    if call.client_address:
        yield f"The call came from {call.client_address}."


def _body(call: RequestLog, facts: Facts) -> Iterator[str]:
    at = facts.at
    took = f", read in {_short(at['body'] - at['checked'])}" if {"body", "checked"} <= at.keys() else ""
    yield f"{figure(call.bytes_in, 'bytes')}{took}." if call.bytes_in else "There was none."


def _model(call: RequestLog, facts: Facts) -> Iterator[str]:
    served = call.served_model if call.served_model not in (None, "", call.model) else ""
    asked = f"“{call.model}” was asked for" if call.model else "The call names no model"
    yield f"{asked}{f', which the upstream knows as “{served}”' if served else ''}."
    if call.model or facts.text("way") == "named":
        yield _WAYS.get(facts.text("way"), "")


def _limits(call: RequestLog, facts: Facts) -> Iterator[str]:
    if len(facts.limits) > 1 and any(one.refused for one in facts.limits):
        yield "Limits take a call together or not at all; how those stood that did not refuse it was not looked up."
    if not facts:
        yield "How the limits stood then was not kept."
    elif not facts.limits and _STOPS.get(call.error_type or "") != LIMITS:
        yield "No limit of the key, its team, its owner or the end user counts this call."


def _place(call: RequestLog, facts: Facts) -> Iterator[str]:
    if call.queue_ms is None:
        yield "There was room at once."
    else:
        yield f"The upstreams had as many calls as they may have; the call waited {duration(call.queue_ms)}."


def _upstream(call: RequestLog, facts: Facts) -> Iterator[str]:
    if strategy := _STRATEGIES.get(facts.text("strategy")):
        by = {"session": " The call named its session.", "prefix": ""}.get(facts.text("hint"), "")
        yield f"Chosen among {len(facts.among)} by the model's strategy: {strategy}.{by}"
    elif facts.text("way") in {"model", "default"}:
        yield "There was one that could take the call."
    for name, asked, ended, end in facts.tried:
        yield f"{name}: {end.replace('_', ' ')}, after {_short(ended - asked)}."
    if call.head_at is not None:
        yield f"{call.upstream_name or 'The upstream'} took the call{_connected(facts)}."
    elif call.upstream_name and not facts.tried:
        yield f"{call.upstream_name} was asked."


def _connected(facts: Facts) -> str:
    if facts.reused:
        return " on a connection that stood already"
    at = facts.at
    if {"asked", "connected"} <= at.keys():
        return f" on a new connection, made in {_short(at['connected'] - at['asked'])}"
    return ""


def _answer(call: RequestLog, facts: Facts) -> Iterator[str]:
    outcome = "completed" if call.outcome == Outcome.COMPLETED else call.outcome.replace("_", " ")
    status = f"Status {call.status}, " if call.status else ""
    yield f"{status}{outcome}, {duration(call.duration_ms)} after the call came in.".capitalize()
    if call.bytes_out:
        yield f"{figure(call.bytes_out, 'bytes')} were sent{' as a stream' if call.streaming else ''}."


_SENTENCES = (_key, _access, _body, _model, _limits, _place, _upstream, _answer)


def _short(milliseconds: float) -> str:
    """Times within the gateway, of which most are under a millisecond."""
    return duration(milliseconds, fine=True)


def stopped(steps: Sequence[Step]) -> Step | None:
    """The step that ended the call; None when it got to its answer."""
    reached = [step for step in steps if step.verdict != "not reached"]
    return reached[-1] if len(reached) < len(steps) else None
