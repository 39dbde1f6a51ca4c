"""What a rehearsal says, as steps: which rules the call met in which order, and at which one it stopped.

The verdict and its error are the relay's own. Here is only told which of its steps raised it, by the kind of the error
and by how far the call had come, and in words what each of them looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from common.admin import BAD, GOOD, QUIET, WARNING
from common.errors import GatewayError
from gateway import errors as ours
from gateway.rehearsal.rehearsal import Rehearsal
from keys import errors as of_keys
from keys.counters import Charge, Standing
from keys.identity import Identity
from keys.limit_words import KIND_WORDS, limit_word, used_of
from keys.shared_use import SHARED_KINDS, without_amounts
from upstreams import errors as of_upstreams

HEAD, CHOICE, LIMITS = range(3)
"""How far a call is: what its head decides, where it can go, and then what it is charged."""

SOME = 5


@dataclass(frozen=True, slots=True)
class Step:
    """One rule: GOOD (passed), BAD (refused here), WARNING (not certain) or QUIET (not reached), and what it saw."""

    name: str
    kind: str
    word: str
    text: str = ""
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    stage: int
    errors: tuple[type[GatewayError], ...]
    tell: Callable[[Rehearsal], str]


def steps_of(
    rehearsal: Rehearsal, *, is_partial: bool, used: list[tuple[Charge, Standing]], sees_all: bool = True
) -> list[Step]:
    """The steps of a rehearsal that was answered, in the relay's order. `sees_all`: what an owner or an end user uses,
    also with keys of other teams, is told too."""
    error, stage = rehearsal.error, _stage(rehearsal)
    message = "" if error is None else error.message if sees_all else without_amounts(error.message)
    found: list[Step] = []
    for rule in RULES:
        if error is not None and (rule.stage > stage or any(step.kind == BAD for step in found)):
            found.append(Step(rule.name, QUIET, "Not reached"))
        elif error is not None and rule.stage == stage and isinstance(error, rule.errors):
            found.append(Step(rule.name, BAD, "Refused", message))
        elif rule.name == "Limits":
            found.append(_limits(used, is_partial=is_partial, sees_all=sees_all))
        else:
            found.append(Step(rule.name, GOOD, "Passed", rule.tell(rehearsal)))
    if error is not None and all(step.kind != BAD for step in found):
        found.append(Step("Other rules", BAD, "Refused", message))
    return found


def _stage(rehearsal: Rehearsal) -> int:
    exchange = rehearsal.exchange
    if exchange is None:
        return HEAD
    return LIMITS if exchange.candidates or rehearsal.admitted else CHOICE


def _limits(used: list[tuple[Charge, Standing]], *, is_partial: bool, sees_all: bool) -> Step:
    lines = tuple(_limit_line(*one, sees_all=sees_all) for one in used)
    if is_partial:
        text = "The relay could not be asked what is in use now: only what budgets have spent was looked at."
        return Step("Limits", WARNING, "Not certain", text, lines)
    return Step("Limits", GOOD, "Passed", "There is room." if lines else "No limit counts this call.", lines)


def _limit_line(charge: Charge, standing: Standing, *, sees_all: bool) -> str:
    name = limit_word(charge.limit) + (f" of {charge.model}" if charge.model else "")
    if charge.kind in SHARED_KINDS and not sees_all:
        return f"{name} ({KIND_WORDS[charge.kind]} {charge.subject}): counts calls of other teams too"
    amount = (
        used_of(standing.used, charge.ceiling, charge.unit)
        if charge.unit
        else f"{standing.used:,} of {charge.ceiling:,}"
    )
    shadow = "" if charge.enforced else ", only reported"
    return f"{name} ({KIND_WORDS.get(charge.kind, charge.kind)} {charge.subject}): {amount} in use{shadow}"


# --- What each rule looked at, in words ------------------------------------------------------------------------------


def _route(rehearsal: Rehearsal) -> str:
    match = rehearsal.match
    if match is None:
        return ""
    known = match.template if match.route is not None else "a path that is not in the catalogue"
    face = "/v1" if not rehearsal.face.verbatim else rehearsal.face.prefix
    return f"{known}, of class {match.endpoint_class.replace('_', ' ')}, on {face}."


def _endpoint(rehearsal: Rehearsal) -> str:
    return "Every endpoint of vLLM's is here." if rehearsal.face.verbatim else "It is on /v1."


def _usable(rehearsal: Rehearsal) -> str:
    identity = rehearsal.identity
    ends = identity.expires_at
    until = f"expires {datetime.fromtimestamp(ends, UTC):%Y-%m-%d %H:%M} UTC" if ends is not None else "never expires"
    return f"{identity.label} with its secret {identity.masked} is not blocked and {until}."


def _holders(rehearsal: Rehearsal) -> str:
    names = [f"{KIND_WORDS[kind]} {ident}" for kind, ident in _named(rehearsal.identity)]
    return f"Not blocked: {', '.join(names)}." if names else "The key has neither team nor owner."


def _named(identity: Identity) -> Iterator[tuple[str, str]]:
    if identity.team_id:
        yield "team", identity.team_id
    if identity.user_id:
        yield "user", identity.user_id


def _classes(rehearsal: Rehearsal) -> str:
    return f"The key may call: {_some(sorted(one.replace('_', ' ') for one in rehearsal.identity.endpoint_classes))}."


def _address(rehearsal: Rehearsal) -> str:
    networks = rehearsal.identity.networks
    if not networks:
        return "The key may be used from any address."
    return f"{rehearsal.wanted.address} is in one of the key's networks: {_some([str(one) for one in networks])}."


def _routes(rehearsal: Rehearsal) -> str:
    allowed = rehearsal.identity.allowed_routes
    return f"The key's routes: {_some(list(allowed))}." if allowed else "The key may call every route of its classes."


def _upstream(rehearsal: Rehearsal) -> str:
    return "The call may name this upstream." if rehearsal.wanted.upstream else "The call names none."


def _meant(rehearsal: Rehearsal) -> str:
    exchange = rehearsal.exchange
    asked = exchange.call.model if exchange is not None else None
    if exchange is None or asked is None:
        return "The call names no model."
    return f"{asked} stands for {exchange.model}." if exchange.model != asked else f"{asked}."


def _model(rehearsal: Rehearsal) -> str:
    models = rehearsal.identity.models
    return f"The key's list: {_some(list(models))}." if models else "The key may use every model."


def _candidates(rehearsal: Rehearsal) -> str:
    exchange = rehearsal.exchange
    if exchange is None or not exchange.candidates:
        return "None is needed: the gateway answers, or asks the one that has the response."
    names = [
        one.upstream.name + (f" as {one.served_name}" if one.served_name else "") for one in exchange.candidates[:SOME]
    ]
    return f"Can take it: {', '.join(names)}."


def _lists(rehearsal: Rehearsal) -> str:
    return "Nobody's list of models is against it."


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SOME} more" if len(names) > SOME else ""
    return (", ".join(names[:SOME]) or "nothing") + more


RULES: tuple[_Rule, ...] = (
    _Rule("Address of the call", HEAD, (ours.UnsafeTarget,), _route),
    _Rule("Key", HEAD, (of_keys.KeyBlocked, of_keys.KeyExpired), _usable),
    _Rule("Team, owner and end user", HEAD, (of_keys.HolderBlocked, of_keys.EndUserBlocked), _holders),
    _Rule("Endpoint", HEAD, (ours.UnsupportedOperation, ours.NotOnThisFace), _endpoint),
    _Rule("Class of the endpoint", HEAD, (of_keys.EndpointClassDenied,), _classes),
    _Rule("Caller's address", HEAD, (of_keys.AddressDenied,), _address),
    _Rule("Routes of the key", HEAD, (of_keys.RouteDenied,), _routes),
    _Rule("Model that is meant", CHOICE, (ours.DuplicateModel,), _meant),
    _Rule("Named upstream", CHOICE, (of_keys.UpstreamDenied, of_upstreams.NoSuchUpstream), _upstream),
    _Rule("Model", CHOICE, (of_keys.ModelDenied,), _model),
    _Rule(
        "Upstreams",
        CHOICE,
        (ours.ModelUnknown, of_upstreams.ModelHidden, of_upstreams.NoUpstream, of_upstreams.CredentialUnreadable),
        _candidates,
    ),
    _Rule(
        "Models of team, owner and end user",
        LIMITS,
        (of_keys.ModelDenied, of_keys.HolderBlocked, of_keys.EndUserBlocked),
        _lists,
    ),
    _Rule("Limits", LIMITS, (of_keys.LimitExceeded, of_keys.BudgetExceeded, of_keys.LimitsAway), _lists),
)
