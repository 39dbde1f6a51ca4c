"""The upstreams and deployments in memory, so that a call needs no query. Knows no HTTP and no process model.

A refresh puts a new `_View` in the place of the old one; readers take whichever is there and need no lock.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from django.conf import settings

from common.versioned import KEEP_TOMBSTONES
from upstreams import selection
from upstreams.errors import CredentialUnreadable, NoUpstream
from upstreams.models import ACTIVE, DeletedUpstream, Upstream, UpstreamsVersion
from upstreams.selection import Candidate, InFlight, Target

__all__ = ["Candidate", "Target", "UpstreamPool", "pool"]

LONGEST_GAP = KEEP_TOMBSTONES.total_seconds() / 2


@dataclass(frozen=True, slots=True)
class _Entry:
    """One upstream as the database had it. `target` is None when its credential cannot be decrypted."""

    name: str
    target: Target | None
    active: bool
    is_default: bool
    served_models: tuple[str, ...]
    deployments: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, row: Upstream) -> _Entry:
        try:
            target = Target(row.pk, row.name, row.url, row.credential.reveal())
        except CredentialUnreadable:
            target = None
        return cls(
            name=row.name,
            target=target,
            active=row.state == ACTIVE,
            is_default=row.is_default,
            served_models=tuple(row.served_models),
            deployments=tuple((one.alias, one.served_name) for one in row.deployments.all()),
        )


@dataclass(frozen=True, slots=True)
class _View:
    """All upstreams at one version; -1 is before the first refresh."""

    version: int = -1
    entries: Mapping[int, _Entry] = field(default_factory=dict)
    by_alias: Mapping[str, tuple[tuple[_Entry, str | None], ...]] = field(default_factory=dict)
    default: _Entry | None = None


def _view(version: int, entries: Mapping[int, _Entry]) -> _View:
    by_alias: dict[str, tuple[tuple[_Entry, str | None], ...]] = {}
    for _, entry in sorted(entries.items()):
        for alias, served_name in entry.deployments:
            place = (entry, None if served_name == alias else served_name)
            by_alias[alias] = (*by_alias.get(alias, ()), place)
    default = next((entry for entry in entries.values() if entry.is_default), None)
    return _View(version, entries, by_alias, default)


class UpstreamPool:
    """Where calls can go now, and how many are open where."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read_at = clock()
        self._view = _View()
        self._open: Counter[int | None] = Counter()
        self._open_lock = threading.Lock()

    @property
    def version(self) -> int:
        """The version of what is in memory; -1 before the first refresh."""
        return self._view.version

    def refresh(self) -> bool:
        """Reads what has changed in the database; one query when nothing has. Returns whether something had.

        Raises DatabaseError when the database is away; what is in memory then stays in use.
        """
        view, version = self._view, UpstreamsVersion.current()
        now, gap = self._clock(), self._clock() - self._read_at
        self._read_at = now
        if version == view.version:
            return False
        if version < view.version or gap > LONGEST_GAP:  # another database, an older backup, or graves are gone
            view = _View()
        entries = dict(view.entries)
        # Graves first: whatever is deleted between the two queries has a newer version, and goes next time.
        for row_id in DeletedUpstream.objects.filter(version__gt=view.version).values_list("row_id", flat=True):
            entries.pop(row_id, None)
        for row in Upstream.objects.newer_than(view.version).prefetch_related("deployments"):
            entries[row.pk] = _Entry.of(row)
        self._view = _view(version, entries)
        return True

    def candidates(self, model: str | None) -> Sequence[Candidate]:
        """Where a call for `model` (None: it names none) can go, best first; at least one.

        The active upstreams with a deployment of that alias; the default upstream when nobody has that alias.
        Raises NoUpstream, or CredentialUnreadable when that is all that is in the way.
        """
        view = self._view
        places = view.by_alias.get(model, ()) if model is not None else ()
        if places:
            return selection.choose(_usable(places), self.in_flight)
        if view.default is None:
            return [Candidate(self._without_default(view))]
        return _usable([(view.default, None)])

    @staticmethod
    def _without_default(view: _View) -> Target:
        if view.version < 0:
            raise NoUpstream("The gateway is starting and has not read its upstreams yet.", retry_after=1)
        if view.entries:
            raise NoUpstream("No upstream serves this model, and none is marked as default.")
        return Target(None, "fallback", settings.UPSTREAM_BASE_FALLBACK, settings.UPSTREAM_CREDENTIAL)

    @property
    def default(self) -> Target | None:
        """The upstream for calls whose model is nobody's alias; None when it takes no calls or there is none."""
        try:
            return self.candidates(None)[0].upstream
        except (NoUpstream, CredentialUnreadable):
            return None

    def default_served_model(self) -> str | None:
        """The model that the default upstream's vLLM takes when a call names none; None when that is not known."""
        entry = self._view.default
        if entry is None:
            return None
        if entry.served_models:
            return entry.served_models[0]
        return entry.deployments[0][1] if len(entry.deployments) == 1 else None

    @property
    def in_flight(self) -> InFlight:
        """The calls that are open from this process, by upstream id; an id without calls may be missing."""
        return MappingProxyType(self._open)

    def enter(self, upstream_id: int | None) -> None:
        """Counts a call that begins."""
        with self._open_lock:
            self._open[upstream_id] += 1

    def leave(self, upstream_id: int | None) -> None:
        """Counts a call that has ended; the other half of `enter`."""
        with self._open_lock:
            self._open[upstream_id] -= 1
            if self._open[upstream_id] <= 0:
                del self._open[upstream_id]


def _usable(places: Iterable[tuple[_Entry, str | None]]) -> list[Candidate]:
    active = [(entry.target, served_name) for entry, served_name in places if entry.active]
    usable = [Candidate(target, served_name) for target, served_name in active if target is not None]
    if usable:
        return usable
    if active:
        raise CredentialUnreadable
    raise NoUpstream("The upstream for this model takes no calls now: it is draining or disabled.")


pool = UpstreamPool()
