"""Tables as CSV files, in which nothing that somebody has chosen becomes a formula. Knows no table.

Callers choose the names of models, end users and tags, and a spreadsheet runs what begins as a formula does. After
OWASP, "CSV Injection": such a text gets an apostrophe before it, whatever blanks and invisible letters it hides behind.
Spreadsheets also take other separators than the comma (in much of Europe the semicolon), so the same is done where one
would begin a cell.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

_SEPARATORS = ";\t\r\n"
_HIDDEN = r"\s\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
_FIRST = "=+@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH COMMERCIAL AT}\N{FULLWIDTH HYPHEN-MINUS}-"
_AT_START = re.compile(rf"[;{_HIDDEN}]*+(?=[{_FIRST}])")
# From where such a run begins, so that a long one is read once.
_FURTHER_ON = re.compile(rf"(?<![;{_HIDDEN}])[;{_HIDDEN}]++(?=[{_FIRST}])")


def lines(rows: Iterable[Iterable[object]]) -> str:
    """Some rows as lines of a CSV file (RFC 4180). Texts are made harmless, numbers stay as they are, None is empty."""
    text = io.StringIO()
    # With another end of lines Python leaves a carriage return within a text unquoted.
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerows([as_text(value) if isinstance(value, str) else value for value in row] for row in rows)
    return text.getvalue()


def as_text(text: str) -> str:
    """The text as one that no spreadsheet takes for a formula."""
    if text[:1].isalnum() and not any(separator in text for separator in _SEPARATORS):
        return text
    begins = _AT_START.match(text)
    end = begins.end() if begins else 0
    guarded = ("'" if begins else "") + text[:end] + _FURTHER_ON.sub(_guarded, text[end:])
    return f"'{guarded}" if text.lstrip(" ").startswith(("\t", "\r", "\n")) and guarded[0] != "'" else guarded


def _guarded(found: re.Match[str]) -> str:
    return f"{found[0]}'" if any(separator in found[0] for separator in _SEPARATORS) else found[0]
