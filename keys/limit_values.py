"""Limits as values: what one key, team, owner or end user may use. Knows no table, no counter and no HTTP.

Money is counted in the units of `common.money`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from common.money import units
from keys.sharing import shared

Unit = Literal["usd", "tokens"]
_NOTHING: Mapping[str, int] = MappingProxyType({})

LIMIT_NAMES = (
    "rpm_limit",
    "tpm_limit",
    "max_parallel_requests",
    "model_rpm_limit",
    "model_tpm_limit",
    "max_budget",
    "budget_limits",
    "model_max_budget",
    "token_budget",
)
"""What `shadow_limits` can name."""

SOFT_BUDGET = "soft_budget"
ROUTE_GROUPS = ("llm_api_routes", "openai_routes", "vllm_routes", "monitoring_routes", "server_control_routes")


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent in each window of a period. `model` is a pattern; None is every model. `name`: LiteLLM's."""

    name: str
    unit: Unit
    period: str
    ceiling: int
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """The ceilings of one party; None and empty mean none. `shadow`: those that are counted but refuse nothing."""

    rpm: int | None = None
    tpm: int | None = None
    parallel: int | None = None
    model_rpm: Mapping[str, int] = field(default_factory=lambda: _NOTHING, hash=False)
    model_tpm: Mapping[str, int] = field(default_factory=lambda: _NOTHING, hash=False)
    budgets: tuple[Budget, ...] = ()
    shadow: frozenset[str] = frozenset()
    any_set: bool = False
    """Whether there is any ceiling: most parties have none, and then nothing is asked."""
    by_use: bool = False
    """Whether one of them depends on what a call uses, or of which model: only then is that found out."""

    def __post_init__(self) -> None:
        ceilings = (self.rpm, self.tpm, self.parallel)
        by_use = self.tpm is not None or bool(self.model_rpm or self.model_tpm or self.budgets)
        object.__setattr__(self, "by_use", by_use)
        object.__setattr__(self, "any_set", by_use or ceilings != (None, None, None))


NO_LIMITS = Limits()

COLUMNS = (
    "rpm_limit",
    "tpm_limit",
    "max_parallel_requests",
    "model_rpm_limit",
    "model_tpm_limit",
    "max_budget",
    "budget_duration",
    "budget_limits",
    "model_max_budget",
    "soft_budget",
    "token_budget",
    "token_budget_duration",
    "shadow_limits",
)


def limits_of(row: Mapping[str, Any]) -> Limits:
    """The limits in a row's columns (`COLUMNS`). A damaged column allows nothing, rather than everything."""
    limits = Limits(
        rpm=row["rpm_limit"],
        tpm=row["tpm_limit"],
        parallel=row["max_parallel_requests"],
        model_rpm=_counts(row["model_rpm_limit"]),
        model_tpm=_counts(row["model_tpm_limit"]),
        budgets=_budgets(row),
        shadow=frozenset(map(str, row["shadow_limits"] or ())),
    )
    return shared(limits) if limits.any_set else NO_LIMITS


def _counts(value: object) -> Mapping[str, int]:
    if not value:
        return _NOTHING
    if not isinstance(value, dict):
        return {"*": 0}
    return MappingProxyType({name: most if isinstance(most, int) else 0 for name, most in value.items()})


def _budgets(row: Mapping[str, Any]) -> tuple[Budget, ...]:
    found = []
    if row["max_budget"] is not None:
        found.append(Budget("max_budget", "usd", row["budget_duration"], units(row["max_budget"])))
    if row["soft_budget"] is not None:
        found.append(Budget(SOFT_BUDGET, "usd", row["budget_duration"], units(row["soft_budget"])))
    found += (
        Budget("budget_limits", "usd", one.get("budget_duration") or "", units(one["max_budget"]))
        for one in row["budget_limits"] or ()
    )
    for model, one in (row["model_max_budget"] or {}).items():
        period = one.get("time_period") or ""
        found.append(Budget("model_max_budget", "usd", period, units(one["budget_limit"]), model))
    if row["token_budget"] is not None:
        found.append(Budget("token_budget", "tokens", row["token_budget_duration"], row["token_budget"]))
    return tuple(found)
