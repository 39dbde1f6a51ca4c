"""Why a call did not end well, in a sentence, and who can mend it: the caller, the admin or the upstream. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.account.entry import Outcome

CALLER, ADMIN, UPSTREAM = "the caller", "the admin", "the upstream"


@dataclass(frozen=True, slots=True)
class Cause:
    """Who can mend it, and a sentence on how."""

    who: str
    sentence: str


# Refusals and failures of the gateway itself, by error type.
BY_TYPE = {
    "expired_key": Cause(ADMIN, "The key, or this secret of it, has expired: extend it, or hand out a new one."),
    "auth_error": Cause(ADMIN, "The key was refused: see on its page whether it is blocked."),
    "key_model_access_denied": Cause(
        ADMIN, "The key may not use this model: add the model to the key, or ask for another model."
    ),
    "key_route_access_denied": Cause(
        ADMIN, "The key lacks this class of endpoint: grant it on the key's page, if that is wanted."
    ),
    "key_upstream_access_denied": Cause(
        ADMIN, "The key may not choose this upstream: grant it on the key's page, if that is wanted."
    ),
    "NotFoundError": Cause(CALLER, "No upstream has this model: the key's holder sees those there are at /v1/models."),
    "upstream_not_found": Cause(CALLER, "The call named an upstream that there is not."),
    "upstream_saturated": Cause(
        ADMIN, "All upstreams with the model were full: raise their ceilings, or add a server for the model."
    ),
    "throttling_error": Cause(
        CALLER, "The key's limit was reached: call less at once, or have the limit raised on the key's page."
    ),
    "invalid_request_error": Cause(CALLER, "The request could not be understood as it was sent: the error says why."),
    "request_too_large": Cause(CALLER, "The body was larger than the gateway accepts (GATEWAY_MAX_BODY_MB)."),
    "request_timeout": Cause(CALLER, "The body stopped arriving (GATEWAY_BODY_TIMEOUT)."),
    "no_upstream": Cause(ADMIN, "No upstream could take the call: activate one, or mark one as the default."),
    "upstream_credential_unreadable": Cause(
        ADMIN, "The upstream's credential was encrypted with other keys: enter it again on the upstream's page."
    ),
    "upstream_unreachable": Cause(
        UPSTREAM, "The upstream could not be reached: is it running? “Check now” on its page says what is wrong."
    ),
    "upstream_timeout": Cause(
        UPSTREAM, "The upstream stayed silent for too long: is it overloaded, or the time-out too short?"
    ),
    "call_timeout": Cause(ADMIN, "The call was open for longer than GATEWAY_TOTAL_TIMEOUT allows."),
    "no_db_connection": Cause(ADMIN, "The database was away and the key not known from memory."),
    "not_serving": Cause(CALLER, "The gateway was starting or stopping: the call can be repeated."),
}

BY_OUTCOME = {
    Outcome.CLIENT_DISCONNECTED: Cause(
        CALLER, "The client left before the answer was complete. If that was not meant, its time-out is too short."
    ),
    Outcome.UPSTREAM_FAILED: Cause(UPSTREAM, "The upstream failed. “Check now” on its page says how it is."),
    Outcome.REFUSED: Cause(CALLER, "The gateway refused the call: the error says why."),
    Outcome.REVOKED: Cause(ADMIN, "The key was blocked or deleted while the call was open, which cut it."),
    Outcome.DRAINED: Cause(CALLER, "The gateway was shut down while the call was open: it can be repeated."),
    Outcome.GATEWAY_FAILED: Cause(ADMIN, "The gateway itself failed: its own log, at this time, says where."),
    Outcome.LOST: Cause(
        ADMIN, "The gateway was killed while the call was open. What was answered until then is not known."
    ),
}


def cause_of(outcome: str, status: int | None, error_type: str | None) -> Cause | None:
    """None when the call ended well. `error_type` counts for what the gateway itself refused or failed at."""
    if outcome == Outcome.COMPLETED:
        return _of_status(status or 0, error_type)
    precise = {Outcome.REFUSED, Outcome.UPSTREAM_FAILED, Outcome.GATEWAY_FAILED}
    found = BY_TYPE.get(error_type or "") if outcome in precise else None
    return found or BY_OUTCOME.get(Outcome(outcome)) if outcome in set(Outcome) else found


def _of_status(status: int, error_type: str | None) -> Cause | None:
    """What vLLM answered and the gateway passed on as it was."""
    if status in {401, 403}:
        return Cause(ADMIN, "The upstream does not accept the stored credential: enter the right one on its page.")
    if status == 404:
        return Cause(CALLER, "The upstream knows no such model or endpoint: its page lists the models that it serves.")
    if status == 429:
        return Cause(UPSTREAM, "The upstream has no room for more calls now: try later, or add an upstream.")
    if status >= 500:
        return Cause(UPSTREAM, "The upstream answered with an error of its own: its log says more.")
    if status >= 400:
        return Cause(CALLER, "The upstream did not accept the request: its answer says what to change.")
    if error_type:
        return Cause(UPSTREAM, "The answer itself says that the generation failed: the upstream's log says more.")
    return None
