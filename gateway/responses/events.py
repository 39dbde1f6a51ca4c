"""Response events as server-sent events, with a running number. Pure."""

from __future__ import annotations

import json


class EventWriter:
    """Gathers events until they are taken."""

    def __init__(self) -> None:
        self._number = 0
        self._out: list[bytes] = []

    def write(self, kind: str, **fields: object) -> None:
        """One event."""
        event = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        self._out.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), encoded(event)))

    def pass_on(self, comment: bytes) -> None:
        """A comment as it came."""
        self._out.append(comment)

    def take(self) -> bytes:
        """What was written since."""
        out, self._out = self._out, []
        return b"".join(out)


def encoded(value: object) -> bytes:
    """Compact JSON; what is not Unicode (lone surrogates) is escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()
