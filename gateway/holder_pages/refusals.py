"""Why a key opens no page, or calls nothing, in words for a person: what the API says of it is for programs. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from common.errors import GatewayError
from keys.errors import DatabaseAway, HolderBlocked, KeyBlocked, KeyExpired, KeyMalformed, KeyUnknown
from keys.limit_words import KIND_WORDS

_WORDS: dict[type[GatewayError], str] = {
    KeyBlocked: "This key is blocked: no call with it is answered. Ask whoever gave it to you to unblock it.",
    KeyMalformed: "This is no key: a virtual key is expected, which starts with “sk-”.",
    KeyUnknown: "Invalid API key: this gateway has no such key. Look for a typo, or ask for another key.",
    DatabaseAway: "Keys cannot be looked up at this moment. Try again in a few seconds.",
}


def in_words(refusal: GatewayError) -> str:
    """A sentence or two on what is wrong, and what one can do."""
    if isinstance(refusal, KeyExpired):
        return _expired(refusal)
    if isinstance(refusal, HolderBlocked):
        return (
            f"The {KIND_WORDS[refusal.kind]} {refusal.name} is blocked: no call with this key is answered. "
            f"An admin can unblock the {KIND_WORDS[refusal.kind]}; ask one, or whoever gave you the key."
        )
    return _WORDS.get(type(refusal), str(refusal.message))


def _expired(refusal: KeyExpired) -> str:
    end = f"{datetime.fromtimestamp(refusal.expired_at, UTC):%Y-%m-%d %H:%M} UTC"
    if refusal.is_replaced:
        return f"The key has been given another secret, and this one ended on {end}. Ask whoever gave it to you."
    return f"This key has expired, on {end}. Ask whoever gave it to you to extend it, or for another key."
