"""Writes what was measured beside the goals, as a table and as JSON."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Callable
from typing import Any

from benchmarks import gateway
from benchmarks.measuring import GENERATOR, UPSTREAM, Measurement
from benchmarks.scenarios import Goal, Scenario

Reader = Callable[[Measurement], str]


def machine() -> dict[str, Any]:
    """What was measured on."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
    }


def heading(facts: dict[str, Any]) -> str:
    """What was measured on, in two lines."""
    return (
        f"{facts['cores']} cores, Python {facts['python']}, Linux {facts['kernel']}, "
        f"load before {facts['load_before']:.1f}.\n"
        "The upstream and the load generator share the cores. CPU of a role: all its processes."
    )


def table(scenario: Scenario, direct: Measurement, through: Measurement | None) -> str:
    """A scenario's figures, direct and through the gateway, and its goals."""
    columns = [direct, through] if through else [direct]
    lines = [f"\n{scenario.title}   ({_load(scenario)})", _row("", [m.through for m in columns])]
    rows = [(name, [read(measurement) for measurement in columns]) for name, read in _figures(scenario)]
    lines += [_row(name, cells) for name, cells in rows if set(cells) != {"-"}]
    for measurement in columns:
        lines += [f"  {measurement.through}: {count} x {error}" for error, count in measurement.errors.items()]
    if through:
        lines += [_goal_line(goal, goal.value(through, direct)) for goal in scenario.goals]
    return "\n".join(lines)


def as_dict(scenario: Scenario, direct: Measurement, through: Measurement | None) -> dict[str, Any]:
    """The same for JSON."""
    return {
        "name": scenario.name,
        "load": _load(scenario),
        "direct": _plain(direct.as_dict()),
        "gateway": _plain(through.as_dict()) if through else None,
        "goals": [_goal_dict(goal, goal.value(through, direct)) for goal in scenario.goals] if through else [],
    }


def _load(scenario: Scenario) -> str:
    if scenario.kind == "calls":
        return f"each client calls again at once; {scenario.seconds:g} s after {scenario.ramp:g} s of warming up"
    starts = scenario.slots / scenario.ramp
    return f"starts spread over {scenario.ramp:g} s, {starts:.0f}/s; then {scenario.seconds:g} s with all open"


def _figures(scenario: Scenario) -> list[tuple[str, Reader]]:
    """Name and reader of each row of the table."""
    calls = scenario.kind == "calls"
    noun, time_name, unit, factor = ("call", "latency", "ms", 1e3) if calls else ("chunk", "lag", "µs", 1e6)
    rows: list[tuple[str, Reader]] = [
        (f"{noun}s/s offered", lambda m: _number(m.offered, 0)),
        (f"{noun}s/s reached", lambda m: _number(m.reached, 0)),
        ("completed, failed", lambda m: f"{m.completed}, {m.failed}"),
        (f"{time_name} p50, p99, max (ms)", lambda m: f"{m.p50:.2f}, {m.p99:.2f}, {m.worst:.1f}"),
    ]
    if not calls:
        rows.append(("TTFT p50, p99 (ms)", lambda m: f"{m.ttft_p50:.1f}, {m.ttft_p99:.1f}"))
    rows += [(f"CPU per {noun}, {role} ({unit})", _cpu(factor, role)) for role in (*gateway.ROLES, UPSTREAM, GENERATOR)]
    rows.append((f"CPU per {noun}, whole gateway ({unit})", _cpu(factor, *gateway.ROLES)))
    rows.append(("relay worker RSS, PSS (MB)", _memory(gateway.RELAY)))
    rows.append(("other gateway processes PSS (MB)", _memory(*gateway.ROLES[1:])))
    return rows


def _row(name: str, cells: list[str]) -> str:
    return f"  {name:<44}" + "".join(f"{cell:>24}" for cell in cells)


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:,.{digits}f}"


def _cpu(factor: float, *roles: str) -> Reader:
    def read(measurement: Measurement) -> str:
        if not any(role in measurement.cpu for role in roles):
            return "-"
        return _number(measurement.cpu_each(*roles) * factor, 3 if factor < 1e6 else 1)

    return read


def _memory(*roles: str) -> Reader:
    """Of one role each process by itself, of several the sum of their own shares."""

    def read(measurement: Measurement) -> str:
        found = [memory for role in roles for memory in measurement.memory.get(role, [])]
        if not found:
            return "-"
        if len(roles) > 1:
            return f"{sum(memory.pss for memory in found):.0f}"
        return "; ".join(f"{memory.rss:.0f}, {memory.pss:.0f}" for memory in found)

    return read


def _goal_line(goal: Goal, value: float) -> str:
    verdict = "reached" if goal.reached(value) else "MISSED"
    return f"  goal: {goal.text} {goal.comparison} {goal.limit:g} {goal.unit}: {value:.2f} {goal.unit}  {verdict}"


def _goal_dict(goal: Goal, value: float) -> dict[str, Any]:
    limit = {"goal": goal.text, "unit": goal.unit, "comparison": goal.comparison, "limit": goal.limit}
    return {**limit, "value": _plain(value), "reached": goal.reached(value)}


def _plain(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
