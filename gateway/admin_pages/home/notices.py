"""Something that needs attention, and the way to its remedy."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse


@dataclass(frozen=True, slots=True)
class Notice:
    """One line. `kind` is good, warning, bad or quiet; `url` is the page on which it is mended."""

    kind: str
    word: str
    text: str
    url: str = ""
    link: str = ""


def several(names: list[str], most: int = 3) -> str:
    """`a, b and 4 more`."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def admin_url(model: str, pk: int | None = None) -> str:
    """The list of a model (`keys_team`), or the page of one of its rows."""
    return reverse(f"admin:{model}_changelist") if pk is None else reverse(f"admin:{model}_change", args=[pk])
