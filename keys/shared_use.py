"""What who sees some teams only is not told: how much an owner or an end user uses. They call with keys of other teams
too, so the figures are of more calls than this person may see. Pure.
"""

from __future__ import annotations

import re

SHARED_KINDS = ("user", "end_user")
"""Whose limits count the calls of several teams."""

# The sentences of `keys.errors`, whose amounts stand last: a subject is whatever somebody chose.
_BUDGET = re.compile(r"(Budget has been exceeded! (?:User|End user)=.*) Current cost: [^(]*(\(.*\)\.)?$", re.DOTALL)
_RATE = re.compile(r"(Rate limit exceeded for (?:user|end_user): .*) Current limit: .*, Remaining: \d*\.?", re.DOTALL)


def without_amounts(text: str) -> str:
    """An error's text without what an owner or an end user has used, or may use; any other text as it is."""
    if text.startswith("Budget has"):
        return _BUDGET.sub(lambda found: f"{found[1]} {found[2] or ''}".rstrip(), text)
    return _RATE.sub(r"\1", text) if text.startswith("Rate limit") else text
