"""An answer that is shown to its meter as it came, and passed on as something else. Pure."""

from __future__ import annotations

from typing import Protocol

from gateway.metering.plain_meter import Meter
from gateway.metering.usage import Usage


class Transform(Protocol):
    """Makes other bytes out of an answer's. It may hold some back until `end`.

    One that also has `fail(message) -> bytes` ends a stream that is broken off in its own words.
    """

    def feed(self, chunk: bytes) -> bytes: ...
    def end(self) -> bytes: ...


class TransformingMeter(Meter):
    """Meters what came, and passes on what the transform makes of it."""

    __slots__ = ("_meter", "_transform")

    def __init__(self, meter: Meter, transform: Transform) -> None:
        super().__init__()
        self._meter = meter
        self._transform = transform

    def feed(self, chunk: bytes) -> bytes:
        passed = self._transform.feed(self._meter.feed(chunk))
        self.started = self._meter.started
        return passed

    def end(self) -> bytes:
        rest = self._meter.end()
        self.failure, self.failure_text = self._meter.failure, self._meter.failure_text
        self.failure_is_the_callers = self._meter.failure_is_the_callers
        self.fingerprint = self._meter.fingerprint
        return (self._transform.feed(rest) if rest else b"") + self._transform.end()

    def break_off(self, message: str) -> bytes:
        fail = getattr(self._transform, "fail", None)
        if fail is None:
            return b""
        rest = self._meter.end()
        return (self._transform.feed(rest) if rest else b"") + bytes(fail(message))

    @property
    def is_whole(self) -> bool:
        return self._meter.is_whole

    def usage(self, request_bytes: int) -> Usage:
        return self._meter.usage(request_bytes)
