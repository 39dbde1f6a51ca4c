"""What the columns of a key may hold, for the admin and the key API alike. Knows no table."""

from __future__ import annotations

from collections.abc import Sized
from ipaddress import ip_network

from django.core.exceptions import ValidationError

from keys.durations import is_period
from keys.identity import DEFAULT, DEFAULT_ENDPOINT_CLASSES, ENDPOINT_CLASSES, KEY_TYPES, LLM_API, MANAGEMENT
from keys.limit_values import LIMIT_NAMES, ROUTE_GROUPS
from keys.storable import unstorable

MOST_MODELS = 1_000  # every process holds the lists of all keys
LONGEST_MODEL = 255
MOST_ALIASES = 1_000
MOST_UPSTREAMS = 1_000
MOST_ENTRIES = 1_000
LARGEST_INTEGER = 2_147_483_647
LARGEST_BUDGET = 100_000_000  # US dollars
HIGHEST_PRIORITY = 100  # and as far below zero
KEY_TYPE_LABELS = {DEFAULT: "Default", LLM_API: "LLM API", MANAGEMENT: "Management"}


PLAYGROUND = "playground of "
"""How the names of the playground's keys begin. Lists leave these out, so nobody gives such a name to another key."""
PLAYGROUND_ONLY = f"Names that begin with “{PLAYGROUND}” are for keys that the playground makes; choose another."


def is_the_playgrounds(name: str | None) -> bool:
    """Whether a key of this name is left out of lists. In any case of letters, as SQLite compares."""
    return (name or "").lower().startswith(PLAYGROUND)


def default_endpoint_classes() -> list[str]:
    """What a key may call unless its admin says otherwise."""
    return list(DEFAULT_ENDPOINT_CLASSES)


def validate_models(value: object) -> None:
    """A list of model names or patterns. Raises ValidationError."""
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise ValidationError('Must be a list of model names such as ["my-model", "qwen-*"]; [] allows all.')
    if len(value) > MOST_MODELS or any(len(item) > LONGEST_MODEL for item in value):
        raise ValidationError(f"At most {MOST_MODELS:,} models, of at most {LONGEST_MODEL} characters each.")


def validate_aliases(value: object) -> None:
    """A JSON object of names and the models that they stand for. Raises ValidationError."""
    if not isinstance(value, dict) or not all(_is_name(text) for pair in value.items() for text in pair):
        raise ValidationError(
            'Must be a JSON object of names and models such as {"fast": "qwen-7b"}, '
            f"each of 1 to {LONGEST_MODEL} characters."
        )
    if len(value) > MOST_ALIASES:
        raise ValidationError(f"At most {MOST_ALIASES:,} aliases.")
    _ensure_storable(value)


def validate_upstreams(value: object) -> None:
    """A list of upstream names or patterns; keys know no upstreams. Raises ValidationError."""
    if not isinstance(value, list) or not all(_is_name(item) for item in value):
        raise ValidationError(
            'Must be a list of upstream names such as ["gpu-1", "lab-*"], '
            f'each of 1 to {LONGEST_MODEL} characters; ["*"] is all, [] none.'
        )
    if len(value) > MOST_UPSTREAMS:
        raise ValidationError(f"At most {MOST_UPSTREAMS:,} upstreams.")
    _ensure_storable(value)


def validate_period(value: object) -> None:
    """When a budget starts anew; "" is never. Raises ValidationError."""
    if not isinstance(value, str) or not is_period(value):
        raise ValidationError(
            "Not a period; write a number with s, m, h, d, w or mo, such as 30d, or a word such as monthly."
        )


def validate_model_limits(value: object) -> None:
    """Models or patterns, and a number for each. Raises ValidationError."""
    if not isinstance(value, dict) or not all(_is_name(name) and _is_count(most) for name, most in value.items()):
        raise ValidationError('Must be a JSON object of models and whole numbers such as {"qwen-*": 60}.')
    _ensure_few(value)


def validate_budget_limits(value: object) -> None:
    """A list of budgets, each with its period. Raises ValidationError."""
    if not isinstance(value, list) or not all(_is_budget(one, "max_budget", "budget_duration") for one in value):
        raise ValidationError('Must be a list of budgets such as [{"budget_duration": "1d", "max_budget": 5}].')
    _ensure_few(value)


def validate_model_budgets(value: object) -> None:
    """Models or patterns, and a budget for each. Raises ValidationError."""
    if not isinstance(value, dict) or not all(
        _is_name(name) and _is_budget(one, "budget_limit", "time_period") for name, one in value.items()
    ):
        raise ValidationError(
            'Must be a JSON object of models and budgets such as {"qwen-*": {"budget_limit": 5, "time_period": "1d"}}.'
        )
    _ensure_few(value)


def validate_shadow(value: object) -> None:
    """A list of limits by name. Raises ValidationError."""
    if not isinstance(value, list) or any(one not in LIMIT_NAMES for one in value):
        raise ValidationError(f"Must be a list of these: {', '.join(LIMIT_NAMES)}.")


def validate_routes(value: object) -> None:
    """A list of paths (`/vllm/*` is all below) and groups of routes. Raises ValidationError."""
    if not isinstance(value, list) or not all(_is_name(one) and _is_route(one) for one in value):
        raise ValidationError(
            f'Must be a list of paths such as ["/v1/embeddings", "/vllm/*"] or of these: {", ".join(ROUTE_GROUPS)}.'
        )
    _ensure_few(value)


def validate_networks(value: object) -> None:
    """A list of addresses and networks. Raises ValidationError."""
    if not isinstance(value, list) or not all(_is_network(one) for one in value):
        raise ValidationError('Must be a list of addresses and networks such as ["10.0.0.0/8", "2001:db8::1"].')
    _ensure_few(value)


def key_types() -> list[tuple[str, str]]:
    """The choices of a key's type; a callable, so that another one needs no migration."""
    return [(name, KEY_TYPE_LABELS[name]) for name in KEY_TYPES]


def validate_endpoint_classes(value: object) -> None:
    """A list of endpoint classes. Raises ValidationError."""
    if not isinstance(value, list) or any(item not in ENDPOINT_CLASSES for item in value):
        raise ValidationError(f"Must be a list of these: {', '.join(ENDPOINT_CLASSES)}.")


def validate_metadata(value: object) -> None:
    """A JSON object that every database can keep. Raises ValidationError."""
    if not isinstance(value, dict):
        raise ValidationError('Must be a JSON object such as {"tags": ["team-a"]}.')
    _ensure_storable(value)


def _is_name(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= LONGEST_MODEL


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_INTEGER


def _is_budget(value: object, amount: str, period: str) -> bool:
    if not isinstance(value, dict) or value.keys() - {amount, period, "reset_at"} or amount not in value:
        return False
    dollars, duration = value[amount], value.get(period)
    is_amount = isinstance(dollars, int | float) and not isinstance(dollars, bool) and 0 <= dollars <= LARGEST_BUDGET
    return is_amount and (duration is None or (isinstance(duration, str) and is_period(duration)))


def _is_route(text: str) -> bool:
    return text in ROUTE_GROUPS or text.startswith("/")


def _is_network(text: object) -> bool:
    try:
        ip_network(text if isinstance(text, str) else "", strict=False)
    except ValueError:
        return False
    return True


def _ensure_few(value: Sized) -> None:
    if len(value) > MOST_ENTRIES:
        raise ValidationError(f"At most {MOST_ENTRIES:,} entries.")
    _ensure_storable(value)


def _ensure_storable(value: object) -> None:
    reason = unstorable(value)
    if reason:
        raise ValidationError(reason)
