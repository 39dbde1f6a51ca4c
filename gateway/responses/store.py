"""Who made which response, and what the gateway keeps of those that it translated itself.

In memory first; in the database for other processes and a later start. What is kept there is encrypted, for at most
a day, and in all no more than a set size: the oldest go first. When the database is away, memory alone knows.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

from django.db import Error

from gateway.account.entry import MAX_LENGTHS, clean_text
from gateway.models import MAX_RESPONSE_ID, StoredResponse
from gateway.responses.conversation import Conversation, unpacked
from gateway.responses.state import drop_oldest
from keys.errors import DatabaseAway
from keys.identity import MASTER, Identity
from upstreams import crypto
from upstreams.errors import CredentialUnreadable

logger = logging.getLogger(__name__)

KEPT_SECONDS = 86_400
AWAY_SECONDS = 2.0
MOST_IN_MEMORY = 20_000
MOST_BYTES_IN_MEMORY = 16_000_000
_CHECKS_EACH = 20  # how often the sum is looked at while as much as may be kept is written

Run = Callable[[Callable[[], None]], None]
"""Runs a function that queries the database."""


class Pending(NamedTuple):
    """What a budget's counter holds for a response that is made in the background; its window ends in unix seconds."""

    counter: str
    amount: int
    ends_at: float | None


@dataclass(frozen=True, slots=True)
class Owned:
    """A response: whose it is, and where. `expires_at` is in unix seconds; `state` is encrypted.

    `pending`: what is held for one that is made in the background, until it is settled; None for all others.
    """

    response_id: str
    key_id: int | None
    anonymous: bool
    user_id: str | None
    upstream_id: int | None
    upstream_name: str | None
    model: str | None
    expires_at: float
    translated: bool = False
    state: str | None = None
    pending: tuple[Pending, ...] | None = None

    def is_for(self, identity: Identity) -> bool:
        """Whether this caller may have it: the key that made it, and the master key."""
        if identity is MASTER:
            return True
        return self.key_id == identity.key_id and (self.key_id is not None or self.anonymous)

    def conversation(self) -> Conversation | None:
        """The conversation up to it; None when it is not kept (any more), or under keys that are gone."""
        if self.state is None:
            return None
        try:
            return unpacked(crypto.decrypt_bytes(self.state))
        except CredentialUnreadable:
            return None


class ResponseStore:
    """One for each process. `run` runs what queries; `most_bytes` is what all states together may have."""

    def __init__(self, run: Run, most_bytes: int, *, clock: Callable[[], float] = time.time) -> None:
        self._run = run
        self._most_bytes = most_bytes
        self._clock = clock
        self._memory: OrderedDict[str, Owned] = OrderedDict()
        self._in_memory = 0
        self._unchecked = most_bytes  # bytes written since the sum was looked at
        self._away_until = 0.0  # in between nobody waits for the database

    # --- In

    def keep(self, owned: Owned, conversation: Conversation | None = None, *, in_memory: bool = True) -> None:
        """Notes whose a response is. One insert; a response that is somebody's already stays theirs.

        `in_memory` False where the id may be another's after all. Never raises.
        """
        if not _can_be_kept(owned.response_id):
            return
        packed = conversation.packed() if conversation is not None and self._most_bytes else None
        kept = [owned]

        def write() -> None:
            if packed is not None:
                kept[0] = replace(owned, state=crypto.encrypt_bytes(packed))
            self._insert(kept[0])

        with contextlib.suppress(DatabaseAway):
            self._ask(write)
        if in_memory:
            self._remember(kept[0])

    def owned_now(
        self, response_id: str, identity: Identity, *, upstream_id: int | None, upstream_name: str | None,
        model: str | None, translated: bool = False, pending: tuple[Pending, ...] | None = None,
    ) -> Owned:  # fmt: skip
        """A response that this caller makes now."""
        return Owned(
            response_id,
            identity.key_id,
            identity.key_id is None and identity is not MASTER,
            identity.user_id,
            upstream_id,
            upstream_name,
            model,
            self._clock() + KEPT_SECONDS,
            translated,
            pending=pending,
        )

    def _insert(self, owned: Owned) -> None:
        now = datetime.fromtimestamp(self._clock(), tz=UTC)
        row = StoredResponse(
            response_id=owned.response_id,
            key_id=owned.key_id,
            anonymous=owned.anonymous,
            user_id=_cut(owned.user_id, "user_id"),
            upstream_id=owned.upstream_id,
            upstream_name=_cut(owned.upstream_name, "upstream_name"),
            model=_cut(owned.model, "model"),
            created_at=now,
            expires_at=datetime.fromtimestamp(owned.expires_at, tz=UTC),
            translated=owned.translated,
            state=owned.state,
            state_bytes=len(owned.state or ""),
            pending=owned.pending,
        )
        StoredResponse.objects.bulk_create([row], ignore_conflicts=True)
        self._unchecked += row.state_bytes
        if owned.state and self._unchecked * _CHECKS_EACH >= self._most_bytes:
            self._unchecked = 0
            drop_oldest(self._most_bytes)

    def _remember(self, owned: Owned) -> None:
        self._forget(owned.response_id)
        self._memory[owned.response_id] = owned
        self._in_memory += len(owned.state or "")
        while len(self._memory) > MOST_IN_MEMORY or self._in_memory > MOST_BYTES_IN_MEMORY:
            self._forget(next(iter(self._memory)))

    def _forget(self, response_id: str) -> None:
        gone = self._memory.pop(response_id, None)
        if gone is not None:
            self._in_memory -= len(gone.state or "")

    def _ask(self, act: Callable[[], None]) -> None:
        """Runs what queries. Raises DatabaseAway, for some seconds without another try."""
        if self._clock() < self._away_until:
            raise DatabaseAway
        try:
            self._run(act)
        except Error as error:
            if not self._away_until:
                logger.warning("Stored responses cannot be noted in the database; memory alone knows them: %s", error)
            self._away_until = self._clock() + AWAY_SECONDS
            raise DatabaseAway from error
        self._away_until = 0.0

    def claim(self, owned: Owned) -> tuple[Pending, ...] | None:
        """What is held for the response, to be settled by who asks first; None for everybody after. Never raises."""
        claimed: list[int] = []
        rows = StoredResponse.objects.filter(response_id=owned.response_id, pending__isnull=False)
        try:
            self._ask(lambda: claimed.append(rows.update(pending=None)))
        except DatabaseAway:
            return None  # the next one who asks settles it
        if owned.response_id in self._memory:
            self._remember(replace(owned, pending=None))
        return owned.pending if claimed[0] else None

    # --- Out

    def find(self, response_id: str) -> Owned | None:
        """Whose a response is; None when it is nobody's, or no longer kept. Raises DatabaseAway."""
        owned = self._memory.get(response_id)
        if owned is None and _can_be_kept(response_id):
            owned = self._look(response_id)
            if owned is not None:
                self._remember(owned)
        return owned if owned is not None and owned.expires_at > self._clock() else None

    def _look(self, response_id: str) -> Owned | None:
        found: list[StoredResponse] = []
        self._ask(lambda: found.extend(StoredResponse.objects.filter(response_id=response_id)))
        return _owned(found[0]) if found else None


def _owned(row: StoredResponse) -> Owned:
    return Owned(
        row.response_id,
        row.key_id,
        row.anonymous,
        row.user_id,
        row.upstream_id,
        row.upstream_name,
        row.model,
        row.expires_at.timestamp(),
        row.translated,
        row.state,
        None if row.pending is None else tuple(Pending(*one) for one in row.pending),
    )


def _can_be_kept(response_id: str) -> bool:
    """Clients may choose odd ids."""
    return len(response_id) <= MAX_RESPONSE_ID and response_id.isascii() and response_id.isprintable()


def _cut(text: str | None, name: str) -> str | None:
    return clean_text(text, MAX_LENGTHS[name]) if text else None
