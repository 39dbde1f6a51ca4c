"""The calls that one capture has kept, as its page lists them: some at a time, the newest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet

from common.admin import figure
from gateway.capture.models import CapturedPayload

PER_PAGE = 200
BEFORE, AFTER = "before", "after"


@dataclass(frozen=True, slots=True)
class CapturedCalls:
    """One page. `words` say which of how many these are, and are empty where they are all. Each address is empty where
    there is nothing to go to."""

    rows: list[CapturedPayload]
    words: str = ""
    newest_url: str = ""
    newer_url: str = ""
    older_url: str = ""


def page_of(kept: QuerySet[CapturedPayload], query: Mapping[str, str]) -> CapturedCalls:
    """The newest of them, or those next to the call that the query names: the older ones `before` it, or the newer
    ones `after` it. Without bodies; three queries at most."""
    total, all_rows = kept.count(), kept.defer("request_body", "response_body")
    before, after = (_call_id(query.get(name)) for name in (BEFORE, AFTER))
    if after is not None:
        rows = list(all_rows.filter(pk__gt=after).order_by("pk")[:PER_PAGE])[::-1]
    else:
        older = all_rows if before is None else all_rows.filter(pk__lt=before)
        rows = list(older.order_by("-pk")[:PER_PAGE])
    newest_url = "?" if before or after else ""
    if not rows or len(rows) == total:
        return CapturedCalls(rows, newest_url=newest_url if not rows else "")
    newer = kept.filter(pk__gt=rows[0].pk).count() if before or after else 0
    last = newer + len(rows)
    return CapturedCalls(
        rows,
        words=_words(newer, last, total),
        newest_url=newest_url if newer else "",
        newer_url=f"?{AFTER}={rows[0].pk.hex}" if newer else "",
        older_url=f"?{BEFORE}={rows[-1].pk.hex}" if last < total else "",
    )


def _words(newer: int, last: int, total: int) -> str:
    if not newer:
        return f"The newest {figure(last)} of {figure(total)}."
    return f"{figure(newer + 1)} to {figure(last)} of {figure(total)}, the newest first."


def _call_id(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None
