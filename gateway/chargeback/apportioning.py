"""Divides whole numbers so that the parts add up to the whole. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

Group = tuple[object, ...]
"""Whose a share is, such as (team, key)."""
IDLE: Group = ()
"""Nobody's."""

T = TypeVar("T")


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """`total` in parts that are proportional to the weights, by the method of the largest remainder.

    Each part is its exact share rounded down or up, and their sum is `total`. Of equal remainders the first wins.
    Raises ValueError when there is something to divide and no weight.
    """
    whole = sum(weights)
    if not whole:
        if total:
            raise ValueError("There is nobody to divide it among.")
        return [0] * len(weights)
    parts, remainders = [], []
    for place, weight in enumerate(weights):
        part, remainder = divmod(total * weight, whole)
        parts.append(part)
        remainders.append((-remainder, place))
    for _, place in sorted(remainders)[: total - sum(parts)]:
        parts[place] += 1
    return parts


def divided(total: int, weights: Mapping[T, int]) -> dict[T, int]:
    """The same by name."""
    return dict(zip(weights, apportion(total, list(weights.values())), strict=True))


def rounded(shares: Mapping[Group, int], step: int) -> dict[Group, int]:
    """Shares in whole steps (cents, of units of money); their sum is that of the shares, to the nearest step.

    First by the first part of the group, then within it: so that a report by team and one by team and key say the same
    of a team.
    """
    total = (sum(shares.values()) * 2 + step) // (step * 2)
    within: dict[Group, dict[Group, int]] = {}
    for group, share in shares.items():
        within.setdefault(group[:1], {})[group] = share
    found: dict[Group, int] = {}
    for top, steps in divided(total, {top: sum(members.values()) for top, members in within.items()}).items():
        found |= divided(steps, within[top])
    return found
