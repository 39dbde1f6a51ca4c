"""The keys in memory, which authentication reads instead of the database.

Readers take no lock: each look is one step in a dictionary. The version is read before the rows, so rows that are
newer than it may come along, and come again with the next refresh; nothing can be missed.
Knows no HTTP and no process model; whoever owns the process calls `refresh`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from types import MappingProxyType
from typing import Any, Protocol

from django.db.models import F, QuerySet, TextField
from django.db.models.functions import Cast

from common.versioned import KEEP_TOMBSTONES
from keys import crypto, limit_values
from keys.identity import DEFAULT, LLM_API, NO_ALIASES, Identity
from keys.models import DeletedKey, KeysVersion, VirtualKey
from keys.parties import JSON_COLUMNS, Parties, party_of, with_objects
from keys.sharing import shared

CHUNK_ROWS = 500  # a few milliseconds of work between two reads
LONGEST_GAP = KEEP_TOMBSTONES.total_seconds() / 2

# A damaged row allows nothing, instead of stopping the refresh or allowing everything.
_NO_MODELS = ("",)
_JSON = (*JSON_COLUMNS, "endpoint_classes", "aliases", "allowed_upstreams", "allowed_routes", "allowed_ips")
_PLAIN = (
    *("pk", "name", "user_id", "team_id", "priority", "key_type", "spend_epoch", "expires_at", "blocked"),
    *(name for name in limit_values.COLUMNS if name not in _JSON),
)
_NOWHERE = ip_network("255.255.255.255/32")


class Directory(Protocol):
    """Where authentication looks keys up."""

    def find(self, digest: str) -> Identity | None:
        """The identity behind a secret's digest."""
        ...

    @property
    def is_loaded(self) -> bool:
        """Whether an unknown key is really unknown, rather than not read yet."""
        ...


@dataclass(frozen=True, slots=True)
class _View:
    """What is known as of a version. `digests` holds those of each key's secrets."""

    version: int = -1
    read_at: float = 0.0
    identities: dict[str, Identity] = field(default_factory=dict)
    digests: dict[int, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Change:
    """What a refresh has read: the touched keys as they are now, or all keys."""

    identities: dict[str, Identity] = field(default_factory=dict)
    digests: dict[int, tuple[str, ...]] = field(default_factory=dict)
    touched: frozenset[int] = frozenset()
    is_all: bool = False


class KeyRegistry:
    """All keys by the digests of their secrets. `clock` gives unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._view = _View()
        self.parties = Parties()
        self._newly_blocked: frozenset[str] = frozenset()
        self._writing = threading.Lock()  # held for steps in memory only, never for a query

    def find(self, digest: str) -> Identity | None:
        """The identity behind a secret's digest, as of the last refresh."""
        return self._view.identities.get(digest)

    @property
    def version(self) -> int:
        """The version of the last refresh; -1 before the first."""
        return self._view.version

    @property
    def is_loaded(self) -> bool:
        """Whether there was a refresh."""
        return self.version >= 0

    def __len__(self) -> int:
        return len(self._view.digests)

    def refresh(self) -> frozenset[int]:
        """Reads what has changed: in the steady state one row, the version.

        Returns the ids of keys that were usable and are now blocked, expired or gone, so that their open calls can
        be cut. Raises django.db.Error when the database is away; the old view then stays.
        """
        while True:
            old, now = self._view, self._clock()
            version = KeysVersion.current()
            is_recent = now - old.read_at < LONGEST_GAP
            if version == old.version and is_recent:
                change = _Change()
            elif 0 <= old.version < version and is_recent:
                self._newly_blocked |= self.parties.follow(old.version)
                change = _changes_after(old.version)
            else:
                self._newly_blocked |= self.parties.reload()
                change = _Change(*_read(VirtualKey.objects.all()), touched=frozenset(old.digests), is_all=True)
            refused = self._apply(old, change, version, now)
            if refused is not None:
                return refused

    def newly_blocked(self) -> frozenset[str]:
        """The scopes of the teams, owners and end users that were blocked since this was last asked."""
        found, self._newly_blocked = self._newly_blocked, frozenset()
        return found

    def _apply(self, old: _View, change: _Change, version: int, now: float) -> frozenset[int] | None:
        """Changes the view that the change was read for. None when another refresh was quicker.

        That one may have known more (then this one would revive a blocked key) or less: only a new read can tell.
        """
        with self._writing:
            if self._view is not old:
                return None
            usable = [key_id for key_id in change.touched if _is_usable(old, key_id, now)]
            if change.is_all:
                self._view = _View(version, now, change.identities, change.digests)
            else:
                _replace(old, change)
                self._view = _View(version, now, old.identities, old.digests)
            return frozenset(key_id for key_id in usable if not _is_usable(self._view, key_id, now))


class DatabaseDirectory:
    """Looks each key up in the database: for the control plane, which keeps no copy."""

    is_loaded = True

    def find(self, digest: str) -> Identity | None:
        """The identity behind a secret's digest; one query. Raises django.db.Error."""
        rows = _rows(VirtualKey.objects.filter(secrets__digest=digest))
        return next((_identity(row) for row in rows if row["digest"] == digest), None)


def _rows(keys: QuerySet[VirtualKey]) -> Iterable[Mapping[str, Any]]:
    """One row for each secret; a key without secrets has one whose digest is None."""
    texts = {f"{name}_text": Cast(name, TextField()) for name in _JSON}
    rows: Iterable[Mapping[str, Any]] = (
        keys.order_by("pk")
        .values(
            *_PLAIN,
            digest=F("secrets__digest"),
            last_four=F("secrets__last_four"),
            secret_id=F("secrets__pk"),
            secret_expires_at=F("secrets__expires_at"),
            **texts,
        )
        .iterator(chunk_size=CHUNK_ROWS)
    )
    return (with_objects(row, _JSON) for row in rows)


def _identity(row: Mapping[str, Any]) -> Identity:
    models, metadata = row["models"], row["metadata"]
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    masked = crypto.mask(row["last_four"])
    return Identity(
        key_id=row["pk"],
        name=row["name"],
        user_id=row["user_id"] and shared(row["user_id"]),
        models=shared(tuple(map(str, models))) if isinstance(models, list) else _NO_MODELS,
        endpoint_classes=_classes(row),
        team_id=shared(row["team_id"]) if row["team_id"] else None,
        party=party_of("key", str(row["pk"]), {**row, "alias": row["name"] or masked}),
        allowed_routes=_texts(row["allowed_routes"]),
        networks=_networks(row["allowed_ips"]),
        expires_at=row["expires_at"] and row["expires_at"].timestamp(),
        blocked=row["blocked"],
        tags=_texts(tags),
        secret_id=row["secret_id"],
        secret_expires_at=row["secret_expires_at"] and row["secret_expires_at"].timestamp(),
        masked=masked,
        aliases=_aliases(row["aliases"]),
        allowed_upstreams=_texts(row["allowed_upstreams"]),
        priority=row["priority"],
        key_type=shared(row["key_type"]),
    )


def _classes(row: Mapping[str, Any]) -> frozenset[str]:
    """What the key may call: only a type that is for calls may call anything."""
    is_for_calls = row["key_type"] in {DEFAULT, LLM_API}
    return shared(frozenset(map(str, row["endpoint_classes"] or ()))) if is_for_calls else frozenset()


def _aliases(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict) or not value:
        return NO_ALIASES
    return MappingProxyType({name: model for name, model in value.items() if isinstance(model, str)})


def _networks(value: object) -> tuple[IPv4Network | IPv6Network, ...]:
    if not isinstance(value, list) or not value:
        return ()
    return tuple(map(_network, value))


@lru_cache(maxsize=10_000)
def _network(text: object) -> IPv4Network | IPv6Network:
    try:
        return ip_network(str(text), strict=False)
    except ValueError:
        return _NOWHERE


def _texts(value: object) -> tuple[str, ...]:
    return shared(tuple(item for item in value if isinstance(item, str))) if isinstance(value, list) else ()


def _read(keys: QuerySet[VirtualKey]) -> tuple[dict[str, Identity], dict[int, tuple[str, ...]]]:
    identities: dict[str, Identity] = {}
    digests: dict[int, tuple[str, ...]] = {}
    for row in _rows(keys):
        known = digests.setdefault(row["pk"], ())
        if row["digest"] is not None:
            identities[row["digest"]] = _identity(row)
            digests[row["pk"]] = (*known, row["digest"])
    return identities, digests


def _changes_after(version: int) -> _Change:
    identities, digests = _read(VirtualKey.objects.newer_than(version))
    gone = DeletedKey._default_manager.filter(version__gt=version).values_list("row_id", flat=True)
    # A key that was deleted between the two queries is kept, until its tombstone is read next time.
    return _Change(identities, digests, frozenset(digests).union(gone))


def _replace(view: _View, change: _Change) -> None:
    """Brings the view's dictionaries up to date, in place: a copy of 100,000 keys would delay every stream."""
    view.identities.update(change.identities)  # first: a key that only changed is known at every moment
    for key_id in change.touched:
        for digest in view.digests.pop(key_id, ()):
            if digest not in change.identities:
                view.identities.pop(digest, None)
    view.digests.update(change.digests)


def _is_usable(view: _View, key_id: int, now: float) -> bool:
    return any(not view.identities[digest].is_refused(now) for digest in view.digests.get(key_id, ()))


registry = KeyRegistry()
