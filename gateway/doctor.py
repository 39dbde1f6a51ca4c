"""The doctor: looks at what the gateway stands on, and says of each thing how it is and what mends it.

For the page with the settings and for `manage.py doctor`. Changes nothing, and shows no secret and no credential.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from django.db import Error, connection

from common.admin import BAD, GOOD, WARNING

__all__ = ["BAD", "GOOD", "WARNING", "Finding", "examine", "is_bad"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Finding:
    """How one thing is: GOOD, WARNING or BAD, in a sentence, and what mends it."""

    name: str
    kind: str
    text: str
    remedy: str = ""


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
