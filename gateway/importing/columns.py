"""The columns that say what something may use: LiteLLM's values, brought into the form that ours keep.

What has no exact counterpart becomes the stricter one, and is said; what has none at all is said. Pure.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from common.money import units
from gateway.importing.wanted import Spent
from keys.durations import is_period
from keys.storable import unstorable
from keys.validation import LARGEST_BUDGET, LARGEST_INTEGER, LONGEST_MODEL, MOST_ENTRIES, MOST_MODELS

Row = Mapping[str, Any]
Note = Callable[[str], None]

CENT = Decimal("0.00000001")  # the columns' precision
LARGEST_TOKENS = 9_000_000_000_000_000
LONGEST_PERIOD = 20
LONGEST_METADATA = 65_536  # characters of JSON, as the key API takes
NO_MODELS = "no-default-models"
_ALL_MODELS = {"all-team-models", "all-proxy-models"}
_MODEL_LIMITS = ("model_rpm_limit", "model_tpm_limit")
_COUNTS = ("rpm_limit", "tpm_limit", "max_parallel_requests")
_AMOUNT, _PERIOD = ("budget_limit", "max_budget"), ("time_period", "budget_duration")

# Settings of logging services, among them their credentials.
_LEFT_OUT = ("logging", "callback_settings", "secret_manager_settings")
_INERT_METADATA = (
    *_LEFT_OUT,
    "allowed_passthrough_routes",
    "denied_passthrough_routes",
    "enforced_params",
    "guardrails",
    "disable_global_guardrails",
    "mcp_rpm_limit",
    "policies",
    "prompts",
    "tag_rpm_limit",
    "team_member_budget_id",
)
_INERT = (
    "access_group_ids",
    "agent_id",
    "allowed_cache_controls",
    "allowed_model_region",
    "auto_rotate",
    "budget_fallbacks",
    "config",
    "default_model",
    "object_permission_id",
    "organization_id",
    "permissions",
    "policies",
    "project_id",
    "router_settings",
)


def limit_columns(row: Row, note: Note, groups: Mapping[str, list[str]], budget: Row | None = None) -> dict[str, Any]:
    """The columns of `keys.models.limited`. `budget` stands behind the row's `budget_id`, and holds where it says
    nothing itself. `groups` are the models of each access group.
    """
    row = {**(budget or {}), **{name: value for name, value in row.items() if not _is_empty(value)}}
    metadata = as_object(row.get("metadata"))
    tokens_a_day = count(row, "tpd_limit", note, LARGEST_TOKENS)
    say_inert(row, metadata, note)
    return {
        "models": models(row.get("models"), note, groups),
        "metadata": kept_metadata(metadata, note),
        "blocked": bool(row.get("blocked")),
        **{name: count(row, name, note) for name in _COUNTS},
        **{name: _model_limits(row.get(name) or metadata.get(name), name, note) for name in _MODEL_LIMITS},
        "max_budget": dollars(row.get("max_budget"), note),
        "budget_duration": period(row.get("budget_duration"), note),
        "budget_limits": _budgets(row.get("budget_limits"), note),
        "model_max_budget": _model_budgets(row.get("model_max_budget"), note),
        "soft_budget": dollars(row.get("soft_budget"), note),
        "token_budget": tokens_a_day,
        "token_budget_duration": "" if tokens_a_day is None else "1d",
    }


def say_inert(row: Row, metadata: Row, note: Note) -> None:
    """Says which fields have no effect here."""
    for name in _INERT:
        if not _is_empty(row.get(name)):
            note(f"{name} has no effect here.")
    for name in _INERT_METADATA:
        if not _is_empty(metadata.get(name)):
            left = ", and is left out" if name in _LEFT_OUT else ""
            note(f"metadata.{name} has no effect here{left}.")
    for name in ("budget_limits", "model_max_budget"):
        if not _is_empty(row.get(name)):
            note(f"what was spent of {name} is not in LiteLLM's database: they begin at zero.")


def _is_empty(value: object) -> bool:
    return value is None or value is False or value in ("", {}, [], "{}", "[]", "null")


def as_object(value: object) -> dict[str, Any]:
    """A JSON object, which older versions have stored as a text inside the JSON; else an empty one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}


def models(value: object, note: Note, groups: Mapping[str, list[str]]) -> list[str]:
    """A list of models. Words for all models are the empty list, and a team's list holds for its keys in any case."""
    names = [name for name in value if isinstance(name, str) and name] if isinstance(value, list) else []
    if _ALL_MODELS.intersection(names):
        return []
    found: dict[str, None] = {}
    for name in names:
        if name in groups:
            note(f"the access group {name} is replaced by the models that it has now.")
        found |= dict.fromkeys(groups.get(name, [name]))
    fitting = [name for name in found if len(name) <= LONGEST_MODEL and unstorable(name) is None][:MOST_MODELS]
    if len(fitting) < len(found):
        note(f"of its models only {len(fitting)} can be kept.")
    return fitting if fitting or not names else [NO_MODELS]  # an empty list would allow all


def kept_metadata(metadata: Row, note: Note) -> dict[str, Any]:
    """The metadata without what is kept in columns, or must not be kept."""
    kept = {name: value for name, value in metadata.items() if name not in (*_MODEL_LIMITS, *_LEFT_OUT)}
    tags = kept.get("tags")
    if tags is not None:
        kept["tags"] = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    if unstorable(kept) is not None or len(json.dumps(kept)) > LONGEST_METADATA:
        note("its metadata cannot be kept.")
        return {}
    return kept


def count(row: Row, name: str, note: Note, most: int = LARGEST_INTEGER) -> int | None:
    """A whole number that a column takes."""
    value = row.get(name)
    if value is None:
        return None
    number = _count(value, most)
    if number != value:
        note(f"{name} {value} becomes {number}.")
    return number


def _count(value: object, most: int = LARGEST_INTEGER) -> int:
    if isinstance(value, float) and not math.isfinite(value):
        return most if value > 0 else 0
    return min(most, max(0, int(value))) if isinstance(value, int | float) else 0


def dollars(value: object, note: Note) -> Decimal | None:
    """US dollars as a column takes them."""
    if value is None:
        return None
    number = float(value) if isinstance(value, int | float) else math.nan
    kept = min(float(LARGEST_BUDGET), max(0.0, 0.0 if math.isnan(number) else number))
    if kept != number:
        note(f"a budget of {value} dollars becomes {kept:.0f}.")
    return Decimal(str(kept)).quantize(CENT)


def period(value: object, note: Note) -> str:
    """A budget's period; one that nobody understands becomes none: the budget then never starts anew."""
    if value is None or value == "":
        return ""
    if isinstance(value, str) and len(value) <= LONGEST_PERIOD and is_period(value):
        return value
    note("the period of a budget cannot be understood: it never starts anew.")
    return ""


def _model_limits(value: object, name: str, note: Note) -> dict[str, int]:
    found = {model: _count(most) for model, most in as_object(value).items() if _is_model(model)}
    return dict(_few(found, name, note))


def _budgets(value: object, note: Note) -> list[dict[str, Any]]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    found = []
    for one in value if isinstance(value, list) else []:
        budget = _budget(one, note)
        if budget is not None:
            found.append({"max_budget": budget[0], **({"budget_duration": budget[1]} if budget[1] else {})})
    return found[:MOST_ENTRIES]


def _model_budgets(value: object, note: Note) -> dict[str, dict[str, Any]]:
    """`{model: budget}`; older versions have a bare number for each model."""
    found = {}
    for model, one in as_object(value).items():
        budget = _budget(one if isinstance(one, dict) else {"max_budget": one}, note)
        if budget is not None and _is_model(model):
            found[model] = {"budget_limit": budget[0], **({"time_period": budget[1]} if budget[1] else {})}
    return dict(_few(found, "model_max_budget", note))


def _budget(one: object, note: Note) -> tuple[float, str] | None:
    """Amount and period, under either of LiteLLM's names for them."""
    if not isinstance(one, dict):
        return None
    amount = dollars(next((one[name] for name in _AMOUNT if one.get(name) is not None), None), note)
    if amount is None:
        return None
    return float(amount), period(next((one[name] for name in _PERIOD if one.get(name)), None), note)


def _is_model(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= LONGEST_MODEL and unstorable(name) is None


def _few(found: Mapping[str, Any], name: str, note: Note) -> Iterable[tuple[str, Any]]:
    if len(found) > MOST_ENTRIES:
        note(f"of {name} only {MOST_ENTRIES:,} entries can be kept.")
    return list(found.items())[:MOST_ENTRIES]


def spent(row: Row, budget: Row | None = None) -> Spent:
    """What was spent in the current window. A budget behind the row has the window where the row has none."""
    amount = row.get("spend")
    number = float(amount) if isinstance(amount, int | float) and math.isfinite(amount) else 0.0
    resets_at = row.get("budget_reset_at") or (budget or {}).get("budget_reset_at")
    return Spent(units(min(max(0.0, number), float(LARGEST_BUDGET))), moment(resets_at))


def moment(value: object) -> datetime | None:
    """A time; LiteLLM's columns are UTC and do not say so."""
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
