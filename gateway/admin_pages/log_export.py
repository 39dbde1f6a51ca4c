"""Rows of the request log as a file: CSV for spreadsheets, a JSON object a line for programs. Sent while it is read, a
thousand rows at a time, so neither memory nor time sets it a limit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.http import HttpResponseBase, StreamingHttpResponse
from django.utils import timezone

from common.spreadsheets import lines
from gateway.admin_pages.log_search import LogRange
from keys.shared_use import without_amounts

ROWS_AT_ONCE = 1_000
COLUMNS = (
    *("call_id", "request_id", "received_at", "status", "outcome", "error_type", "error_text"),
    *("key_id", "key_name", "team_id", "user_id", "end_user", "model", "served_model", "upstream_id", "upstream_name"),
    *("method", "route", "endpoint_class", "streaming", "prompt_tokens", "completion_tokens", "cached_tokens"),
    *("reasoning_tokens", "usage_source", "cost", "ttft_ms", "inter_token_ms", "queue_ms", "attempts"),
    *("head_at", "first_token_at", "ended_at", "bytes_in", "bytes_out", "client_address", "user_agent"),
    *("tags", "shadowed"),
)
_ERROR = COLUMNS.index("error_text")

Row = tuple[Any, ...]


def exported(branches: Sequence[LogRange], form: str, *, sees_all: bool = True) -> HttpResponseBase:
    """All rows of the branches, newest first, as a file to keep; `form` is a key of FORMS. Who does not see every team
    is not told in it what owners use elsewhere."""
    content_type, written = FORMS[form]
    parts = rows_of(branches) if sees_all else map(_without_amounts, rows_of(branches))
    response = StreamingHttpResponse(written(parts), content_type=content_type)
    name = f"request-logs-{timezone.now():%Y%m%d-%H%M%S}.{form}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "no-store"
    return response


def rows_of(branches: Sequence[LogRange], size: int = ROWS_AT_ONCE) -> Iterator[list[Row]]:
    """The rows of all branches, each once, newest first, `size` at a time: values of COLUMNS, the call's id first."""
    before: UUID | None = None
    while True:
        parts = (one.newest_first(before).values_list(*COLUMNS)[:size] for one in branches)
        each = {row[0]: row for row in chain.from_iterable(parts)}
        found = sorted(each.values(), key=itemgetter(0), reverse=True)[:size]
        yield found
        if len(found) < size:
            return
        before = found[-1][0]


def _without_amounts(rows: list[Row]) -> list[Row]:
    return [(*row[:_ERROR], row[_ERROR] and without_amounts(row[_ERROR]), *row[_ERROR + 1 :]) for row in rows]


def as_csv(parts: Iterable[list[Row]]) -> Iterator[bytes]:
    """With a line of names first, in UTF-8; what a spreadsheet would take for a formula is made a text."""
    yield lines([COLUMNS]).encode()
    for rows in parts:
        if rows:
            yield lines(map(_cell, row) for row in rows).encode()


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return _plain(value)


def as_ndjson(parts: Iterable[list[Row]]) -> Iterator[bytes]:
    """One object a line, with the names of COLUMNS."""
    for rows in parts:
        if rows:
            lines = (json.dumps(dict(zip(COLUMNS, map(_plain, row), strict=True))) for row in rows)
            yield "".join(f"{line}\n" for line in lines).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, UUID):
        return value.hex
    return f"{value:f}" if isinstance(value, Decimal) else value


FORMS: Mapping[str, tuple[str, Callable[[Iterable[list[Row]]], Iterator[bytes]]]] = {
    "csv": ("text/csv; charset=utf-8", as_csv),
    "ndjson": ("application/x-ndjson", as_ndjson),
}
