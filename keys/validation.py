"""What the columns of a key may hold, for the admin and the key API alike. Knows no table."""

from __future__ import annotations

from django.core.exceptions import ValidationError

from keys.identity import DEFAULT, DEFAULT_ENDPOINT_CLASSES, ENDPOINT_CLASSES, KEY_TYPES, LLM_API, MANAGEMENT
from keys.storable import unstorable

MOST_MODELS = 1_000  # every process holds the lists of all keys
LONGEST_MODEL = 255
MOST_ALIASES = 1_000
MOST_UPSTREAMS = 1_000
HIGHEST_PRIORITY = 100  # and as far below zero
KEY_TYPE_LABELS = {DEFAULT: "Default", LLM_API: "LLM API", MANAGEMENT: "Management"}


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


def _ensure_storable(value: object) -> None:
    reason = unstorable(value)
    if reason:
        raise ValidationError(reason)
