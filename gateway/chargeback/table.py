"""A report as a table: its head, then one row of texts for each line. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from gateway.chargeback.report import Line, Report

_HEADS: Mapping[str, tuple[str, ...]] = {
    "key": ("team", "team_name", "key_id", "key_name"),
    "team": ("team", "team_name"),
    "user": ("user", "user_name"),
    "model": ("model",),
}
_FIGURES = ("calls", "prompt_tokens", "cached_tokens", "completion_tokens", "cost", "gpu_hours", "gpu_cost")

Names = Mapping[object, str]


def rows(report: Report, teams: Names, names: Names) -> Iterator[list[str]]:
    """The table. `names` are of the members of the last dimension, `teams` of the teams.

    The first column says what a row is: `calls`, `idle` (the rest of a server, which is in the column `upstream`),
    or `total`.
    """
    head = _HEADS[report.by]
    has_hours = bool(report.servers)
    yield ["line", *head, "upstream", *_FIGURES]
    for line in report.lines:
        yield ["calls", *_members(report.by, line, teams, names), "", *_figures(line), *_shares(line, has_hours)]
    nobody = [""] * len(head)
    for server in report.servers:
        shares = [_hours(server.idle_hours), _dollars(server.idle_cents)]
        yield ["idle", *nobody, server.name, *[""] * (len(_FIGURES) - 2), *shares]
    yield ["total", *nobody, "", *_figures(report.total), *_shares(report.total, has_hours)]


def _members(by: str, line: Line, teams: Names, names: Names) -> list[str]:
    if by == "model":
        return [str(line.group[0])]
    last = line.group[-1]
    own = [str(last or ""), names.get(last, "")]
    return [str(line.group[0]), teams.get(line.group[0], ""), *own] if by == "key" else own


def _figures(line: Line) -> list[str]:
    used = line.used
    counts = (used.calls, used.prompt_tokens, used.cached_tokens, used.completion_tokens)
    return [*map(str, counts), "" if used.cost is None else f"{_short(used.cost)}"]


def _shares(line: Line, has_hours: bool) -> list[str]:  # noqa: FBT001 - private
    return [_hours(line.hours), _dollars(line.cents)] if has_hours else ["", ""]


def _short(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def _hours(steps: int) -> str:
    return f"{Decimal(steps) / 10_000:.4f}"


def _dollars(cents: int) -> str:
    return f"{Decimal(cents) / 100:.2f}"
