"""How the demo's calls end, and how often: outcomes, statuses and sentences as the gateway and vLLM have them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from gateway.account.entry import Outcome
from gateway.demo import cast
from gateway.errors import UpstreamSaturated


@dataclass(frozen=True)
class Ending:
    """An end of calls. `weight`: how often in 100,000; `used`: which part of the completion came, None for no answer.

    `seconds`: when it ended, where its tokens do not say so. `tries`: at how many upstreams.
    """

    outcome: Outcome
    weight: int = 0
    status: int | None = 200
    type: str = ""
    text: str = ""
    used: float | None = 1.0
    seconds: float | None = None
    source: str = "reported"
    tries: int = 1
    limit: str = ""
    """Which limit of the key it was that refuses."""
    asks: str = ""
    """The model that is asked for, where it is not one of the key's."""

    @property
    def refuses(self) -> bool:
        """Whether the gateway itself said no, before any upstream was asked."""
        return self.outcome is Outcome.REFUSED

    @property
    def finds_no_place(self) -> bool:
        """Whether every upstream was full for as long as the call could wait, so that none was asked."""
        return self.type == UpstreamSaturated.type


_TOO_LONG = (
    "This model's maximum context length is 32768 tokens. However, your request has 39,014 input tokens. "
    "Please reduce the length of the input messages."
)
_NOT_YOURS = (
    "The requested model 'gpt-4o' is not available for this API key, or the model name is invalid. "
    "Check the models available to you and try again."
)

ENDINGS = (
    Ending(Outcome.COMPLETED, 96_500),
    Ending(Outcome.CLIENT_DISCONNECTED, 1_900, used=0.4, source="estimated"),
    Ending(Outcome.COMPLETED, 700, 400, "BadRequestError", _TOO_LONG, used=None, seconds=0.02),
    Ending(Outcome.REFUSED, 260, 403, "key_model_access_denied", _NOT_YOURS, used=None, asks="gpt-4o"),
    Ending(Outcome.REFUSED, 160, 404, "NotFoundError",
           "The model `gpt-4o-mini` does not exist. You may use: {model}.", used=None, asks="gpt-4o-mini"),
    Ending(Outcome.UPSTREAM_FAILED, 240, 502, "upstream_unreachable",
           "The upstream closed the connection before it answered.", used=None, seconds=0.4, tries=2),
    Ending(Outcome.UPSTREAM_FAILED, 90, 504, "upstream_timeout", "The upstream did not answer in time.",
           used=None, seconds=120.0),
    Ending(Outcome.UPSTREAM_FAILED, 60, 200, "upstream_error",
           "The upstream broke off in the middle of its answer.", used=0.5, source="estimated"),
    Ending(Outcome.UPSTREAM_FAILED, 40, UpstreamSaturated.status_code, UpstreamSaturated.type,
           UpstreamSaturated.default_detail, used=None),
    Ending(Outcome.DRAINED, 15, 200, used=0.6, source="estimated"),
    Ending(Outcome.LOST, 8, None, used=None),
)  # fmt: skip


def limited(key: cast.Key) -> Ending:
    """A refusal by the limit that the key has."""
    if "max_budget" in key.limits:
        text = over_budget(key.name, key.limits["max_budget"])
        return Ending(Outcome.REFUSED, 0, 422, "budget_exceeded", text, used=None, limit="max_budget")
    limit, counted = next(one for one in (("rpm_limit", "requests"), ("tpm_limit", "tokens")) if one[0] in key.limits)
    text = (
        f"Rate limit exceeded for api_key: {key.name}. Limit type: {counted}. Current limit: {key.limits[limit]}, "
        "Remaining: 0. Limit resets at: {at:%Y-%m-%d %H:%M:%S}+00:00"
    )
    return Ending(Outcome.REFUSED, 0, 429, "throttling_error", text, used=None, limit=limit)


def over_budget(name: str, ceiling: Decimal) -> str:
    """What a call is told of the key's budget in US dollars, all of which is used."""
    spent = f"{ceiling.normalize():f}"
    return f"Budget has been exceeded! Key={name} Current cost: {spent}, Max budget: {spent} (max_budget)."


def too_late(expired_at: float) -> Ending:
    """A refusal of a key whose time is over."""
    since = f"{datetime.fromtimestamp(expired_at, UTC):%Y-%m-%d %H:%M:%S}+00:00"
    text = (
        f"Authentication Error - Expired Key. Key Expiry time {since} and current time {{at:%Y-%m-%d %H:%M:%S}}+00:00"
    )
    return Ending(Outcome.REFUSED, 0, 401, "expired_key", text, used=None)
