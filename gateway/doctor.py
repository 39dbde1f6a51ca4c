"""The doctor: looks at what the gateway stands on, and says of each thing how it is and what mends it.

For the page with the settings and for `manage.py doctor`. Changes nothing, and shows no secret and no credential.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from django.db import Error, connection

from common.admin import BAD, GOOD, QUIET, WARNING

__all__ = ["BAD", "GOOD", "QUIET", "WARNING", "Finding", "examine", "in_short", "is_bad"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Finding:
    """How one thing is, in a sentence, and what mends it.

    It is GOOD, BAD, a WARNING, or QUIET: fine for a trial and not for production. `code` is the id of a system check.
    """

    name: str
    kind: str
    text: str
    remedy: str = ""
    code: str = ""


Look = Callable[[], Iterator[Finding]]


def examine() -> list[Finding]:
    """All looks, in order. Never raises; what cannot be looked at while the database is away is left out."""
    from gateway import doctor_looks as looks

    found = _safely("Database", looks.database)
    is_there = not is_bad(found)
    for name, look, needs_database in looks.LOOKS:
        if is_there or not needs_database:
            found += _safely(name, look)
    return found


def _safely(name: str, look: Look) -> list[Finding]:
    try:
        return list(look())
    except Exception as error:
        logger.exception("A look of the doctor failed.")
        if isinstance(error, Error):
            connection.close()
        text = f"This could not be looked at: {type(error).__name__}."
        return [Finding(name, BAD, text, "The log of the control plane says more.")]


def is_bad(findings: Sequence[Finding]) -> bool:
    """Whether something does not work."""
    return any(finding.kind == BAD for finding in findings)


def in_short(findings: Sequence[Finding]) -> str:
    """All findings in a sentence."""
    troubles = sum(finding.kind in {WARNING, BAD} for finding in findings)
    trials = sum(finding.kind == QUIET for finding in findings)
    of_trials = f"{trials} {'setting is' if trials == 1 else 'settings are'} for a trial and not for production."
    if troubles:
        needs = "things need" if troubles > 1 else "thing needs"
        return f"{troubles} {needs} a look." + (f" {of_trials}" if trials else "")
    return "Everything that was looked at is well." if not trials else f"Everything works; {of_trials}"
