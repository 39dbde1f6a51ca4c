"""LiteLLM's `router_settings`, in our words; and what of `general_settings` belongs to a start."""

from __future__ import annotations

from typing import Any

from gateway.config.document import Mapped
from gateway.config.sections import Section
from gateway.config.startup import AT_START
from gateway.config.wanted import AliasSpec
from upstreams.selection import STRATEGIES

# LiteLLM's strategies: ours, and whether it is only the nearest.
_STRATEGIES = {
    "simple-shuffle": ("weighted_round_robin", False),
    "least-busy": ("least_in_flight", False),
    "latency-based-routing": ("lowest_waiting", True),
    "usage-based-routing": ("least_in_flight", True),
    "usage-based-routing-v2": ("least_in_flight", True),
    "cost-based-routing": ("least_in_flight", True),
}


def read_router(section: Section) -> tuple[dict[str, Any], list[AliasSpec]]:
    """The columns of Routing that the section names, and the aliases of `model_group_alias`."""
    retries, fails = section.whole("num_retries", most=1000), section.whole("allowed_fails", most=1_000_000)
    routing = {
        "strategy": _strategy(section),
        "most_attempts": None if retries is None else retries + 1,
        "cooldown_seconds": section.number("cooldown_time", most=1e6),
        "failures_before_cooldown": None if fails is None else fails + 1,
    }
    aliases = _aliases(section)
    section.warn_of_the_rest()
    return {name: value for name, value in routing.items() if value is not None}, aliases


def _strategy(section: Section) -> str | None:
    given = section.text("routing_strategy")
    if given is None or given in STRATEGIES:
        return given
    if given not in _STRATEGIES:
        raise section.error("routing_strategy", f"must be one of {', '.join((*_STRATEGIES, *STRATEGIES))}.")
    ours, is_nearest = _STRATEGIES[given]
    if is_nearest:
        section.warn("routing_strategy", f"{given} is not supported; the nearest, {ours}, is taken.")
    return ours


def _aliases(section: Section) -> list[AliasSpec]:
    """`name: model`, or LiteLLM's longer form `name: {model: …, hidden: …}`."""
    group = section.section("model_group_alias")
    aliases = []
    for name in group.keys():  # noqa: SIM118 - a Section is no mapping
        if isinstance(group.value(name), Mapped):
            longer = group.section(name)
            stands_for = longer.needed("model")
            longer.warn_of_the_rest()
        else:
            stands_for = group.needed(name)
        if stands_for == name:
            raise group.error(name, "cannot stand for itself.")
        aliases.append(AliasSpec(name=checked_name(group, name), stands_for=stands_for))
    return aliases


def checked_name(section: Section, name: str) -> str:
    """An alias that stands in the place of a key."""
    if not 0 < len(name.strip()) <= 200:
        raise section.error(name, "must have 1 to 200 characters.")
    return name.strip()


def read_general(section: Section) -> bool:
    """Whether the section has what only a start reads; a warning for each other key."""
    for key in AT_START:
        section.leave(key)
    section.warn_of_the_rest()
    return any(key in section for key in AT_START)
