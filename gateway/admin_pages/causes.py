"""Why a call did not end well, in a sentence, and who can mend it: the caller, the admin, or who runs the upstream."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from gateway.account.entry import Outcome
from keys.errors import MODEL_LISTS
from keys.limit_words import KIND_WORDS, limit_word

CALLER, ADMIN, UPSTREAM = "the caller", "the admin", "whoever runs the upstream"


@dataclass(frozen=True, slots=True)
class Reached:
    """A limit that had no room, and whose it is, as people call them.

    `until` is when its minute ended; None where a place was waited for, or where it is not known. `ceiling` is ""
    where the viewer is not told of it.
    """

    limit: str
    noun: str
    ceiling: str = ""
    until: datetime | None = None
    is_of_places: bool = False


@dataclass(frozen=True, slots=True)
class Cause:
    """Who can mend it, and a sentence on how.

    `whose` limit or block it was, where that is so: `key`, `team`, `user` or `end_user`. `place` is where else it is
    mended: at the call's `upstream`, in the list of `upstreams`, or in the `settings`. `short` is for a list.
    `reached` says which limit of a minute, or of calls at once, had no room.
    """

    who: str
    sentence: str
    whose: str = ""
    place: str = ""
    short: str = ""
    reached: Reached | None = None


# Refusals and failures of the gateway itself, by error type.
BY_TYPE = {
    "expired_key": Cause(
        ADMIN,
        "The key, or this secret of it, has expired: extend it, or hand out a new one.",
        whose="key",
        short="key expired",
    ),
    "auth_error": Cause(
        ADMIN, "The key was refused: see on its page whether it is blocked.", whose="key", short="key refused"
    ),
    "key_model_access_denied": Cause(
        ADMIN,
        "The key, its team, its owner or the end user may not use this model: add it there, or ask for another model.",
        whose="key",
        short="model not allowed",
    ),
    "key_route_access_denied": Cause(
        ADMIN,
        "The key may not call this route, or lacks its class of endpoint: grant it on the key's page, if it is wanted.",
        whose="key",
        short="route not allowed",
    ),
    "key_upstream_access_denied": Cause(
        ADMIN,
        "The key may not choose this upstream: grant it on the key's page, if that is wanted.",
        whose="key",
        short="upstream not allowed",
    ),
    "key_address_access_denied": Cause(
        ADMIN,
        "The call came from an address in none of the key's networks: call from one of them, or add it on its page.",
        whose="key",
        short="address not allowed",
    ),
    "end_user_blocked": Cause(
        ADMIN,
        "The end user behind the call is blocked: unblock them on their page, if that is wanted.",
        whose="end_user",
        short="end user blocked",
    ),
    "limits_unavailable": Cause(
        ADMIN,
        "Limits could not be counted, because PostgreSQL or Redis was away; GATEWAY_LIMITS_WITHOUT_STORE can be set to "
        "serve, so that each process counts for itself meanwhile.",
        place="settings",
        short="limits could not be counted",
    ),
    "NotFoundError": Cause(
        CALLER,
        "No upstream has this model: GET /v1/models lists the names of those that the key may use.",
        place="upstreams",
        short="no such model",
    ),
    "upstream_not_found": Cause(
        CALLER, "The call named an upstream that there is not.", place="upstreams", short="no such upstream"
    ),
    "upstream_saturated": Cause(
        ADMIN,
        "All upstreams with the model were full: raise their ceilings, or add a server for the model.",
        place="upstreams",
        short="all upstreams full",
    ),
    "throttling_error": Cause(
        CALLER, "A limit was reached: call less, or have the limit raised.", whose="key", short="limit reached"
    ),
    "budget_exceeded": Cause(
        ADMIN,
        "A budget is spent: raise it, reset the spend, or wait where it starts anew.",
        whose="key",
        short="budget spent",
    ),
    "invalid_request_error": Cause(
        CALLER,
        "The request could not be understood as it was sent: the error says why.",
        short="request not understood",
    ),
    "request_too_large": Cause(
        CALLER,
        "The body was larger than the gateway accepts (GATEWAY_MAX_BODY_MB).",
        place="settings",
        short="body too large",
    ),
    "request_timeout": Cause(
        CALLER, "The body stopped arriving (GATEWAY_BODY_TIMEOUT).", place="settings", short="body stopped coming"
    ),
    "no_upstream": Cause(
        ADMIN,
        "No upstream could take the call: activate one, or mark one as the default.",
        place="upstreams",
        short="no upstream could take it",
    ),
    "upstream_credential_unreadable": Cause(
        ADMIN,
        "The upstream's credential was encrypted with other keys: enter it again on the upstream's page.",
        place="upstream",
        short="credential unreadable",
    ),
    "upstream_unreachable": Cause(
        UPSTREAM,
        "The upstream could not be reached: is it running? “Check now” on its page says what is wrong.",
        place="upstream",
        short="upstream not reached",
    ),
    "upstream_timeout": Cause(
        UPSTREAM,
        "The upstream stayed silent for too long: is it overloaded, or the time-out too short?",
        place="upstream",
        short="upstream silent",
    ),
    "call_timeout": Cause(
        ADMIN,
        "The call was open for longer than GATEWAY_TOTAL_TIMEOUT allows.",
        place="settings",
        short="open for too long",
    ),
    "insufficient_storage": Cause(
        ADMIN,
        "The body was too large to wait in memory, and the data directory's disk was full: make room on it.",
        short="disk full",
    ),
    "no_db_connection": Cause(ADMIN, "The database was away and the key not known from memory.", short="database away"),
    "not_serving": Cause(
        CALLER, "The gateway was starting or stopping: the call can be repeated.", short="starting or stopping"
    ),
}

BY_OUTCOME = {
    Outcome.CLIENT_DISCONNECTED: Cause(
        CALLER,
        "The client left before the answer was complete. If that was not meant, its time-out is too short.",
        short="client left",
    ),
    Outcome.UPSTREAM_FAILED: Cause(
        UPSTREAM,
        "The upstream failed. “Check now” on its page says how it is.",
        place="upstream",
        short="upstream failed",
    ),
    Outcome.REFUSED: Cause(CALLER, "The gateway refused the call: the error says why.", short="refused"),
    Outcome.REVOKED: Cause(
        ADMIN,
        "The key was blocked or deleted while the call was open, which cut it.",
        whose="key",
        short="key blocked meanwhile",
    ),
    Outcome.DRAINED: Cause(
        CALLER, "The gateway was shut down while the call was open: it can be repeated.", short="gateway stopped"
    ),
    Outcome.GATEWAY_FAILED: Cause(
        ADMIN, "The gateway itself failed: its own log, at this time, says where.", short="gateway failed"
    ),
    Outcome.LOST: Cause(
        ADMIN,
        "The gateway was killed while the call was open. What was answered until then is not known.",
        short="gateway was killed",
    ),
}


# What a limit counts, as the error says it, the limit's name, and what can be done.
LIMITED = {
    "requests": ("rpm_limit", "has made as many calls as it may in a minute: call less often"),
    "tokens": ("tpm_limit", "has used as many tokens as it may in a minute: ask for fewer"),
    "max_parallel_requests": ("max_parallel_requests", "had as many calls open as it may: wait until one has ended"),
}
_RATE = re.compile(
    r"Rate limit exceeded for (api_key|team|user|end_user):.*Limit type: (\w+)( of [^\n]+?)?\.", re.DOTALL
)
_CEILING = re.compile(r"Current limit: (\d{1,19}), Remaining")
_RESETS = re.compile(r"Limit resets at: ([0-9-]{10} [0-9:]{8}\+00:00)$")
_BUDGET = re.compile(r"Budget has been exceeded! (Key|Team|User|End user)=.*?(?:\((\w+)\)\.)?$", re.DOTALL)
_NOTHING = re.compile(r", Max budget: 0(?: tokens)? \([^()]*\)\.$")
_BLOCKED = re.compile(r"Authentication Error, (?:(Team|User)=|Key is blocked\.)")
_REPLACED = re.compile(r" and current time [0-9:+ -]{25}\. The key has been given another secret; use that one\.$")
_LISTS = {words: kind for kind, words in MODEL_LISTS.items()}
_NOT_LISTED = re.compile(
    rf"The requested model '.*' is not available for ({'|'.join(_LISTS)}), or the model name is invalid\. "
    r"Check the models available to you and try again\.$",
    re.DOTALL,
)
_NO_MODEL = re.compile(rf"({'|'.join(_LISTS)}) is limited to certain models, and the model of this", re.IGNORECASE)


def cause_of(outcome: str, status: int | None, error_type: str | None, error_text: str | None = None) -> Cause | None:
    """None when the call ended well. `error_type` counts for what the gateway itself refused or failed at."""
    if outcome == Outcome.COMPLETED:
        return _of_status(status or 0, error_type)
    precise = {Outcome.REFUSED, Outcome.UPSTREAM_FAILED, Outcome.GATEWAY_FAILED}
    found = None
    if outcome in precise:
        found = _of_limit(error_type, error_text or "") or BY_TYPE.get(error_type or "")
    return found or BY_OUTCOME.get(Outcome(outcome)) if outcome in set(Outcome) else found


def in_short(outcome: str, status: int | None, error_type: str | None, error_text: str | None = None) -> str:
    """The cause in a few words, for a list; empty when the call ended well."""
    cause = cause_of(outcome, status, error_type, error_text)
    return "" if cause is None else cause.short or (error_type or "")


def _of_limit(error_type: str | None, text: str) -> Cause | None:
    """What our own sentence says of whose limit, budget or block it was."""
    if error_type == "throttling_error" and (match := _RATE.match(text)):
        return _of_rate(_kind(match[1]), match[2], text, per_model=bool(match[3]))
    if error_type == "budget_exceeded" and (match := _BUDGET.match(text)):
        return _of_budget(_kind(match[1]), match[2] or "max_budget", is_nothing=bool(_NOTHING.search(text)))
    if error_type == "auth_error" and (match := _BLOCKED.match(text)):
        return _of_block(_kind(match[1] or "key"))
    if error_type == "expired_key" and _REPLACED.search(text):
        return _REPLACED_SECRET
    if error_type == "key_model_access_denied":
        return _of_list(text)
    return None


_REPLACED_SECRET = Cause(
    CALLER,
    "The secret was replaced by a rotation, and is past its overlap: use the new secret of the key.",
    whose="key",
    short="secret replaced",
)


def _of_block(whose: str) -> Cause:
    noun = "key" if whose == "key" else KIND_WORDS[whose]
    named = "The key" if whose == "key" else f"The key's {noun}"
    sentence = f"{named} is blocked: unblock it on its page, if that is wanted."
    return Cause(ADMIN, sentence, whose, short=f"{noun} blocked")


def _of_list(text: str) -> Cause | None:
    """Whose list of models it was that does not hold the model, or that made it matter that none could be told."""
    if match := _NOT_LISTED.match(text):
        kind = _LISTS[match[1]]
        noun = KIND_WORDS[kind]
        sentence = (
            f"The {noun} may not use this model: add it to the list on the page of the {noun}, or ask for another."
        )
        return Cause(ADMIN, sentence, kind, short=f"model not allowed to the {noun}")
    if match := _NO_MODEL.match(text):
        kind = _LISTS[match[1].lower().replace("this api", "this API")]
        return Cause(
            CALLER,
            f"The {KIND_WORDS[kind]} is limited to certain models, and the body names none that could be read: "
            "send JSON with a “model” that it may use.",
            kind,
            short="no model named",
        )
    return None


def _of_rate(whose: str, counted: str, text: str, *, per_model: bool) -> Cause | None:
    if counted not in LIMITED:
        return None
    limit, words = LIMITED[counted]
    is_of_places = limit == "max_parallel_requests"
    limit = f"model_{limit}" if per_model and not is_of_places else limit
    ceiling, resets = _CEILING.search(text), _RESETS.search(text)
    reached = Reached(
        limit_word(limit),
        KIND_WORDS[whose],
        f"{int(ceiling[1]):,}" if ceiling else "",
        _moment(resets[1]) if resets else None,
        is_of_places,
    )
    remedy = f"or have “{limit_word(limit)}” raised on the page of the {KIND_WORDS[whose]}"
    return Cause(
        CALLER,
        f"The {KIND_WORDS[whose]} {words}, {remedy}.",
        whose,
        short=f"limit: {limit_word(limit).lower()} of the {KIND_WORDS[whose]}",
        reached=reached,
    )


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _of_budget(whose: str, limit: str, *, is_nothing: bool) -> Cause:
    named = "" if limit == "max_budget" else f" (“{limit_word(limit)}”)"
    state, words = "spent", "raise it or reset the spend on its page, or wait where it starts anew"
    if limit == "token_budget":
        words = "raise it on its page, or wait where it starts anew"
    if is_nothing:
        state, words = "0 and always spent", "raise it on its page"
    return Cause(
        ADMIN,
        f"A budget{named} of the {KIND_WORDS[whose]} is {state}: {words}.",
        whose,
        short=f"{limit_word(limit)} of the {KIND_WORDS[whose]} spent",
    )


def _kind(word: str) -> str:
    kind = word.lower().replace(" ", "_")
    return "key" if kind == "api_key" else kind


def _of_status(status: int, error_type: str | None) -> Cause | None:
    """What vLLM answered and the gateway passed on as it was."""
    if status in {401, 403}:
        return Cause(
            ADMIN,
            "The upstream does not accept the stored credential: enter the right one on its page.",
            place="upstream",
            short="upstream wants another credential",
        )
    if status == 404:
        return Cause(
            CALLER,
            "The upstream knows no such model or endpoint: its page lists the models that it serves.",
            place="upstream",
            short="not known to the upstream",
        )
    if status == 429:
        return Cause(
            UPSTREAM,
            "The upstream has no room for more calls now: try later, or add an upstream.",
            place="upstream",
            short="upstream has no room",
        )
    if status >= 500:
        return Cause(
            UPSTREAM,
            "The upstream answered with an error of its own: its log says more.",
            place="upstream",
            short="the upstream's own error",
        )
    if status >= 400:
        return Cause(
            CALLER,
            "The upstream did not accept the request: its answer, which the caller has, says what to change. "
            "A payload capture shows it to you too.",
            short="not accepted by the upstream",
        )
    if error_type:
        return Cause(
            UPSTREAM,
            "The answer itself says that the generation failed: the upstream's log says more.",
            place="upstream",
            short="generation failed",
        )
    return None
