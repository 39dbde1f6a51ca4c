"""The keys in memory, which authentication reads instead of the database.

Readers take no lock: each look is one step in a dictionary. The version is read before the rows, so rows that are
newer than it may come along, and come again with the next refresh; nothing can be missed.
Knows no HTTP and no process model; whoever owns the process calls `refresh`.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from types import MappingProxyType
from typing import Any, Protocol

from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from common.versioned import KEEP_TOMBSTONES
from keys import crypto, limit_values
from keys.identity import DEFAULT, LLM_API, NO_ALIASES, Identity, Party
from keys.limit_values import Limits, limits_of
from keys.models import DeletedKey, KeysVersion, VirtualKey
from keys.parties import JSON_COLUMNS, Parties
from keys.sharing import shared

CHUNK_ROWS = 500  # a few milliseconds of work between two reads
LONGEST_GAP = KEEP_TOMBSTONES.total_seconds() / 2

# A damaged row allows nothing, instead of stopping the refresh or allowing everything.
_NO_MODELS = ("",)
LONGEST_COMMON = 1_000
"""Characters of JSON that are kept for other keys that have the same; longer ones are a key's own."""
MOST_COMMON = 20_000

_OWN = (
    *("pk", "name", "user_id", "team_id", "expires_at", "blocked", "spend_epoch"),
    *("secrets__digest", "secrets__last_four", "secrets__pk", "secrets__expires_at"),
)
_DIGEST = _OWN.index("secrets__digest")
_JSON = (*JSON_COLUMNS, "endpoint_classes", "aliases", "allowed_upstreams", "allowed_routes", "allowed_ips")
_PLAIN = ("priority", "key_type", *(name for name in limit_values.COLUMNS if name not in _JSON))
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
        return next((_identity(row) for row in rows if row[_DIGEST] == digest), None)

    def of_key(self, key_id: int) -> list[Identity]:
        """The key as each of its secrets shows it, the newest last; one query. Raises django.db.Error."""
        rows = _rows(VirtualKey.objects.filter(pk=key_id))
        found = [_identity(row) for row in rows if row[_DIGEST] is not None]
        return sorted(found, key=lambda identity: identity.secret_id or 0)


def _rows(keys: QuerySet[VirtualKey]) -> Iterable[tuple[Any, ...]]:
    """One row for each secret; a key without secrets has one whose digest is None."""
    texts = {f"{name}_text": Cast(name, TextField()) for name in _JSON}
    rows: Iterable[tuple[Any, ...]] = (
        keys.order_by("pk")
        .annotate(**texts)
        .values_list(*_OWN, *_PLAIN, *(f"{name}_text" for name in _JSON))
        .iterator(chunk_size=CHUNK_ROWS)
    )
    return rows


def _identity(row: tuple[Any, ...]) -> Identity:
    key_id, name, user_id, team_id, expires_at, blocked, epoch, *of_secret = row[: len(_OWN)]
    _, last_four, secret_id, secret_expires_at = of_secret
    common = _common_to_many(row[len(_OWN) :])
    masked = crypto.mask(last_four)
    return Identity(
        key_id=key_id,
        name=name,
        user_id=user_id and shared(user_id),
        models=common.models,
        endpoint_classes=common.endpoint_classes,
        team_id=shared(team_id) if team_id else None,
        party=Party(
            kind="key",
            ident=str(key_id),
            label=name or masked,
            limits=common.limits,
            period=common.period,
            epoch=epoch,
            blocked=blocked,
        ),
        allowed_routes=common.allowed_routes,
        networks=common.networks,
        expires_at=expires_at and expires_at.timestamp(),
        blocked=blocked,
        tags=common.tags,
        secret_id=secret_id,
        secret_expires_at=secret_expires_at and secret_expires_at.timestamp(),
        masked=masked,
        aliases=common.aliases,
        allowed_upstreams=common.allowed_upstreams,
        priority=common.priority,
        key_type=common.key_type,
    )


@dataclass(frozen=True, slots=True)
class _Common:
    """What keys often have in common."""

    models: tuple[str, ...]
    tags: tuple[str, ...]
    endpoint_classes: frozenset[str]
    limits: Limits
    period: str
    allowed_routes: tuple[str, ...]
    networks: tuple[IPv4Network | IPv6Network, ...]
    aliases: Mapping[str, str]
    allowed_upstreams: tuple[str, ...]
    priority: int
    key_type: str


def _common_to_many(columns: tuple[Any, ...]) -> _Common:
    """What these columns (`_PLAIN`, then `_JSON` as texts) say. Made once for all keys that are alike in them."""
    known = _made_before.get(columns)
    if known is not None:
        return known
    made = _made(columns)
    if sum(len(text) for text in columns[len(_PLAIN) :] if text) <= LONGEST_COMMON:
        if len(_made_before) >= MOST_COMMON:
            _made_before.clear()
        _made_before[columns] = made
    return made


def _made(columns: tuple[Any, ...]) -> _Common:
    plain, texts = columns[: len(_PLAIN)], columns[len(_PLAIN) :]
    row = dict(zip(_PLAIN, plain, strict=True)) | {
        name: None if text is None else json.loads(text) for name, text in zip(_JSON, texts, strict=True)
    }
    models, metadata = row["models"], row["metadata"]
    return _Common(
        models=tuple(map(str, models)) if isinstance(models, list) else _NO_MODELS,
        tags=_texts(metadata.get("tags") if isinstance(metadata, dict) else None),
        endpoint_classes=_classes(row),
        limits=limits_of(row),
        period=row["budget_duration"] or "",
        allowed_routes=_texts(row["allowed_routes"]),
        networks=_networks(row["allowed_ips"]),
        aliases=_aliases(row["aliases"]),
        allowed_upstreams=_texts(row["allowed_upstreams"]),
        priority=row["priority"],
        key_type=row["key_type"],
    )


_made_before: dict[tuple[Any, ...], _Common] = {}


def _classes(row: Mapping[str, Any]) -> frozenset[str]:
    """What the key may call: only a type that is for calls may call anything."""
    is_for_calls = row["key_type"] in {DEFAULT, LLM_API}
    return frozenset(map(str, row["endpoint_classes"] or ())) if is_for_calls else frozenset()


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
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _read(keys: QuerySet[VirtualKey]) -> tuple[dict[str, Identity], dict[int, tuple[str, ...]]]:
    identities: dict[str, Identity] = {}
    digests: dict[int, tuple[str, ...]] = {}
    for row in _rows(keys):
        key_id, digest = row[0], row[_DIGEST]
        known = digests.setdefault(key_id, ())
        if digest is not None:
            identities[digest] = _identity(row)
            digests[key_id] = (*known, digest)
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
