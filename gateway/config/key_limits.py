"""What a key of the file may use, and how much: by the names of the columns, which are the key API's too."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError

from gateway.config.sections import Section
from keys.limit_fields import LARGEST_TOKENS, LONGEST_PERIOD
from keys.validation import (
    LARGEST_BUDGET,
    validate_budget_limits,
    validate_model_budgets,
    validate_model_limits,
    validate_networks,
    validate_period,
    validate_routes,
    validate_shadow,
)

_CENT_STEP = Decimal("1e-8")  # the columns' precision
_COUNTS = ("rpm_limit", "tpm_limit", "max_parallel_requests")
_DOLLARS = ("max_budget", "soft_budget")
_PERIODS = ("budget_duration", "token_budget_duration")

Validator = Callable[[object], None]
_MAPPINGS: dict[str, Validator] = {
    "model_rpm_limit": validate_model_limits,
    "model_tpm_limit": validate_model_limits,
    "model_max_budget": validate_model_budgets,
}
_TEXTS: dict[str, Validator] = {
    "shadow_limits": validate_shadow,
    "allowed_routes": validate_routes,
    "allowed_ips": validate_networks,
}

LIMITS = (*_COUNTS, "token_budget", *_DOLLARS, *_PERIODS, *_MAPPINGS, "budget_limits", *_TEXTS)
"""The columns that the file may name."""


def read_limits(section: Section) -> dict[str, Any]:
    """All of LIMITS; what the file does not name is as in a new key. Raises ConfigError."""
    found: dict[str, Any] = {name: section.whole(name) for name in _COUNTS}
    found["token_budget"] = section.whole("token_budget", most=LARGEST_TOKENS)
    found |= {name: _dollars(section, name) for name in _DOLLARS}
    found |= {name: section.text(name, longest=LONGEST_PERIOD) or "" for name in _PERIODS}
    found |= {name: section.plain(name) for name in _MAPPINGS}
    found["budget_limits"] = section.plain_list("budget_limits")
    found |= {name: list(section.texts(name)) for name in _TEXTS}
    checks = {**dict.fromkeys(_PERIODS, validate_period), **_MAPPINGS, **_TEXTS}
    for name, check in {**checks, "budget_limits": validate_budget_limits}.items():
        _check(section, name, check, found[name])
    return found


def _dollars(section: Section, name: str) -> Decimal | None:
    number = section.number(name, most=LARGEST_BUDGET)
    return None if number is None else Decimal(str(number)).quantize(_CENT_STEP)


def _check(section: Section, name: str, check: Validator, value: object) -> None:
    try:
        check(value)
    except ValidationError as error:
        raise section.error(name, f"is not right. {' '.join(error.messages)}") from error
