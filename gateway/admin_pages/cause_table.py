"""The causes that an error type, an outcome or an upstream's status alone tells."""

from __future__ import annotations

from gateway.account.entry import Outcome
from gateway.admin_pages.cause import ADMIN, CALLER, UPSTREAM, Cause

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
    "unsupported_operation": Cause(
        CALLER, "An operation of OpenAI's that vLLM does not have was asked for.", short="vLLM cannot do this"
    ),
    "not_found_error": Cause(
        CALLER,
        "There is nothing at this address: the servers' own controls are below /vllm.",
        short="nothing at this address",
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
        "The call took longer than GATEWAY_TOTAL_TIMEOUT, its upstream's times or the caller's own allow.",
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


def of_status(status: int, error_type: str | None) -> Cause | None:
    """Of what vLLM answered and the gateway passed on as it was; None when that was no error."""
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
