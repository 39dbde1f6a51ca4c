"""The captures that are active, as one relay process knows them, and the payloads that wait to be written.

Refreshed with the other registries. While none is active a call pays for one look at `active`. Whatever fails here
costs a payload and no call.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import gevent
from django.conf import settings
from django.db import Error
from django.utils import timezone

from gateway.capture.models import CapturedPayload, PayloadCapture
from gateway.capture.redacting import redact
from upstreams import crypto

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 0.25
MOST_HELD_BYTES = 64_000_000
"""Of all payloads that this process holds at once: beyond it bodies are cut."""
AT_ONCE = 16
_COLUMNS = ("pk", "key_id", "team_id", "model", "ends_at", "most_calls", "captured", "unsent")


@dataclass(frozen=True, slots=True)
class Active:
    """One capture: of a key while it is of this team, or of the calls that ask for a model. Times are unix seconds;
    `unsent` are the captured calls that no upstream had, which `captured` does not count."""

    id: int
    key_id: int | None
    team_id: str | None
    model: str
    ends_at: float
    most_calls: int
    captured: int
    unsent: int


@dataclass(slots=True)
class Payload:
    """What was seen of one call. `secrets` are those that must not stay in it."""

    capture_id: int
    call_id: str
    key_id: int | None
    key_name: str
    team_id: str | None
    model: str
    status: int | None
    at: float
    unsent: bool
    request_type: str
    request: bytes
    request_bytes: int
    response_type: str
    response: bytes
    response_bytes: int
    secrets: frozenset[str]

    @property
    def size(self) -> int:
        """Bytes held."""
        return len(self.request) + len(self.response)


class Captures:
    """All captures of one process. `run` calls a function where it may wait for the database."""

    def __init__(self, run: Callable[[Callable[[], None]], None]) -> None:
        self.active: Sequence[Active] = ()
        self._run = run
        self._begun: Counter[int] = Counter()
        self._unsent: Counter[int] = Counter()
        self._held = 0
        self._waiting: deque[Payload] = deque()

    def refresh(self) -> None:
        """Reads which captures are active. Raises django.db.Error; the old ones then stay until their end."""
        rows = PayloadCapture.objects.active(timezone.now()).counted().order_by("pk")
        self.active = tuple(
            Active(pk, key_id, team_id, model, ends_at.timestamp(), *counts)
            for pk, key_id, team_id, model, ends_at, *counts in rows.values_list(*_COLUMNS)
        )

    def match(self, key_id: int | None, team_id: str | None, models: Iterable[str]) -> Active | None:
        """The capture that wants this call, that of its key before that of its model; it then counts as one of it."""
        now = time.time()
        open_ones = [one for one in self.active if now < one.ends_at and not self._is_full(one)]
        names = set(models)
        of_keys = [one for one in open_ones if one.key_id is not None and one.key_id == key_id]
        found = next((one for one in of_keys if (one.team_id or "") == (team_id or "")), None)
        found = found or next((one for one in open_ones if one.model and one.model in names), None)
        if found is not None:
            self._begun[found.id] += 1
        return found

    def keeps_unsent(self, capture_id: int) -> bool:
        """Whether a call that `match` has counted is kept although it was refused before any upstream had it.

        It does not count as one of the capture's calls: a program that goes on against a limit would use them all up
        within seconds. Of these as many again are kept.
        """
        self._begun[capture_id] -= 1
        one = next((one for one in self.active if one.id == capture_id), None)
        if one is None or max(one.unsent, self._unsent[capture_id]) >= one.most_calls:
            return False
        self._unsent[capture_id] += 1
        return True

    def _is_full(self, one: Active) -> bool:
        return max(one.captured, self._begun[one.id]) >= one.most_calls

    # --- What is held, and how it is written

    def hold(self, size: int) -> bool:
        """Whether there is room for so many more bytes; they are then held until they are written or dropped."""
        if self._held + size > MOST_HELD_BYTES:
            return False
        self._held += size
        return True

    def give_back(self, size: int) -> None:
        """They are held no more."""
        self._held -= size

    def put(self, payload: Payload) -> None:
        """Takes a payload that is whole; its bytes are held already. `flush` writes it."""
        self._waiting.append(payload)

    def flush(self) -> None:
        """Writes what waits, away from the calls: in a thread, since taking secrets out and encrypting takes long.

        Never raises. What the database does not take is lost, and the log says so.
        """
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
            try:
                rows = gevent.get_hub().threadpool.apply(_rows, (batch,))
                self._run(lambda rows=rows: _store(rows))  # type: ignore[misc]
            except Error as error:
                logger.warning("%d captured payloads could not be stored: %s", len(batch), type(error).__name__)
            except Exception:
                logger.exception("%d captured payloads could not be stored.", len(batch))
            finally:
                self.give_back(sum(payload.size for payload in batch))


def _rows(batch: Sequence[Payload]) -> list[CapturedPayload]:
    return [_row(payload) for payload in batch]


def _row(payload: Payload) -> CapturedPayload:
    request_cut = payload.request_bytes > len(payload.request)
    response_cut = payload.response_bytes > len(payload.response)
    return CapturedPayload(
        call_id=payload.call_id,
        capture_id=payload.capture_id,
        captured_at=datetime.fromtimestamp(payload.at, UTC),
        key_id=payload.key_id,
        key_name=payload.key_name,
        team_id=payload.team_id,
        model=payload.model,
        status=payload.status,
        unsent=payload.unsent,
        request_type=payload.request_type[:200],
        request_body=crypto.encrypt_bytes(redact(payload.request, payload.secrets, is_cut=request_cut)),
        request_bytes=payload.request_bytes,
        request_cut=request_cut,
        response_type=payload.response_type[:200],
        response_body=crypto.encrypt_bytes(redact(payload.response, payload.secrets, is_cut=response_cut)),
        response_bytes=payload.response_bytes,
        response_cut=response_cut,
    )


def _store(rows: Sequence[Any]) -> None:
    """Those whose capture nobody has stopped or deleted meanwhile."""
    wanted = {row.capture_id for row in rows}
    there = set(PayloadCapture.objects.filter(pk__in=wanted, stopped_at=None).values_list("pk", flat=True))
    kept = [row for row in rows if row.capture_id in there]
    CapturedPayload.objects.bulk_create(kept, ignore_conflicts=True)


def most_bytes() -> int:
    """How much of one body is kept."""
    size: int = settings.CAPTURE_BODY_BYTES
    return size
