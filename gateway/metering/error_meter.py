"""Reads from an upstream's error what kind of error it is. Its sentence is not kept: it may quote the prompt."""

from __future__ import annotations

import json
import re

from gateway.metering.plain_meter import Meter

KEPT_BYTES = 8192
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9 _.-]{0,63}")


class ErrorMeter(Meter):
    """The account of an answer with status 400 or more: no tokens, but a kind of error."""

    __slots__ = ("_kept", "_status")

    def __init__(self, status: int) -> None:
        super().__init__()
        self._status = status
        self._kept = b""

    def feed(self, chunk: bytes) -> bytes:
        self.started = True
        if len(self._kept) < KEPT_BYTES:
            self._kept += chunk[:KEPT_BYTES]
        return chunk

    def end(self) -> bytes:
        if self.failure is None:
            self.failure = self._kind() or f"http_{self._status}"
            self.failure_text = f"The upstream answered with status {self._status}."
        return b""

    def _kind(self) -> str | None:
        """vLLM's and Anthropic's `error.type`."""
        try:
            body = json.loads(self._kept)
        except (ValueError, RecursionError):
            return None
        error = body.get("error") if isinstance(body, dict) else None
        kind = error.get("type") if isinstance(error, dict) else None
        return kind if isinstance(kind, str) and _TYPE.fullmatch(kind) else None
