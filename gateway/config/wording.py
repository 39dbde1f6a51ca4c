"""How a plan speaks of values: what differs, and never a secret. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

_UNSHOWN = frozenset({"credential", "secret", "info"})


def is_empty(value: object) -> bool:
    """Whether it goes without saying. A zero does not, though it equals False: it may mean "none at all"."""
    return value is None or value is False or value in ("", {}, (), [])


def different_from(wanted: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """What the stored values would have to become."""
    return {name: value for name, value in wanted.items() if stored.get(name) != value}


def shown(different: Mapping[str, Any], before: Mapping[str, Any]) -> tuple[str, ...]:
    """Such as `weight 1 → 3`, `credential changed`."""
    return tuple(
        f"{name} changed" if name in _UNSHOWN else f"{name} {_text(before.get(name))} → {_text(value)}"
        for name, value in different.items()
    )


def shown_new(values: Mapping[str, Any], without: Collection[str]) -> tuple[str, ...]:
    """Such as `weight 3`, `with credential`; what is empty goes unsaid."""
    said = {name: value for name, value in values.items() if name not in without and not is_empty(value)}
    return tuple(f"with {name}" if name in _UNSHOWN else f"{name} {_text(value)}" for name, value in said.items())


def _text(value: object) -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, Decimal):
        return f"{value:f}".rstrip("0").rstrip(".") or "0"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def not_ours(table: str, name: str, different: Mapping[str, Any]) -> str:
    """A row of people's of which the file says otherwise."""
    return f"The {table} {name} is not the file's and stays as it is ({', '.join(different)} would differ)."
