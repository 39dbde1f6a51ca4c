"""The upstreams and deployments in memory, so that a call needs no query. Knows no HTTP and no process model.

A refresh puts a new `View` in the place of the old one; readers take whichever is there and need no lock.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from django.conf import settings
from django.utils import timezone

from common.short_lock import short_lock
from common.versioned import KEEP_TOMBSTONES
from upstreams.entries import Entry, ServedModel, first_model, usable, usable_alone
from upstreams.errors import CredentialUnreadable, ModelHidden, NoSuchUpstream, NoUpstream
from upstreams.health import Cooldowns, Mark
from upstreams.models import (
    DISABLED,
    HEALTHY,
    UNHEALTHY,
    DeletedUpstream,
    ModelAlias,
    Routing,
    Upstream,
    UpstreamsVersion,
)
from upstreams.selection import NO_HINTS, STRATEGIES, Candidate, Hints, InFlight, Load, Situation, Target
from upstreams.view import View

__all__ = ["Candidate", "Hints", "Mark", "ServedModel", "Target", "UpstreamPool", "pool"]

LONGEST_GAP = KEEP_TOMBSTONES.total_seconds() / 2
FRESH_SECONDS = 15.0
"""How old a server's own figures may be before they count as unknown."""
MOST_TURNS = 10_000
WELL = (0.0, False)


class UpstreamPool:
    """Where calls can go now, how many are open where, and what they met."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read_at = clock()
        self._view = View()
        self._open: Counter[int | None] = Counter()
        self._open_lock = short_lock()
        self._cooldowns = Cooldowns(clock)
        self._unhealthy: frozenset[int | None] = frozenset()
        self._loads: Mapping[int | None, Load] = {}
        self._load_at: dict[int | None, datetime] = {}
        self._sent_since: Counter[int | None] = Counter()
        self._turns: Counter[str] = Counter()

    # --- What the database says

    @property
    def version(self) -> int:
        """The version of what is in memory; -1 before the first refresh."""
        return self._view.version

    @property
    def routing(self) -> Routing:
        """How calls are routed in general."""
        return self._view.routing

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
            view = View()
        entries = dict(view.entries)
        # Graves first: whatever is deleted between the two queries has a newer version, and goes next time.
        for row_id in DeletedUpstream.objects.filter(version__gt=view.version).values_list("row_id", flat=True):
            entries.pop(row_id, None)
        for row in Upstream.objects.newer_than(view.version).prefetch_related("deployments"):
            entries[row.pk] = Entry.of(row)
            self._cooldowns.forget(row.pk)
        self._view = View.of(version, entries, ModelAlias.objects.all(), Routing.current())
        return True

    def observe(self) -> Counter[str]:
        """Reads what the probes saw, which has no version, in one query. Returns how many upstreams are how well."""
        healths: Counter[str] = Counter()
        unhealthy: set[int | None] = set()
        loads: dict[int | None, Load] = {}
        rows = Upstream.objects.exclude(state=DISABLED)
        for pk, health, waiting, kv_cache_use, load_at in rows.values_list(
            "pk", "health", "waiting", "kv_cache_use", "load_at"
        ):
            healths[health] += 1
            if health == UNHEALTHY:
                unhealthy.add(pk)
            elif health == HEALTHY and pk in self._unhealthy:
                self._cooldowns.forget(pk)
            if waiting is not None and load_at and (timezone.now() - load_at).total_seconds() < FRESH_SECONDS:
                loads[pk] = Load(waiting, kv_cache_use or 0.0)
                if self._load_at.get(pk) != load_at:
                    self._load_at[pk] = load_at
                    self._sent_since[pk] = 0
        self._unhealthy, self._loads = frozenset(unhealthy), loads
        return healths

    # --- Where a call can go

    def candidates(self, model: str | None, hints: Hints = NO_HINTS) -> Sequence[Candidate]:
        """Where a call for `model` (None: it names none) can go, best first; at least one.

        The active upstreams with a deployment of that alias; the default upstream when nobody has that alias.
        Raises NoUpstream, CredentialUnreadable when that is all that is in the way, and ModelHidden.
        """
        view = self._view
        places = view.places(model) if model is not None else ()
        if model is not None and places:
            found = usable(places, model)
            return found if len(found) == 1 else self._ordered(model, found, hints)
        if view.default is None:
            return [Candidate(self._without_default(view))]
        if model is not None and view.hides(model, view.default):
            raise ModelHidden
        return usable_alone(view.default)

    def knows(self, model: str) -> bool:
        """Whether an alias or a pattern has this name; all others go to the default upstream."""
        return bool(self._view.places(model))

    def named(self, name: str) -> Candidate:
        """The upstream of this name. Raises NoSuchUpstream, NoUpstream, CredentialUnreadable."""
        for entry in self._view.entries.values():
            if entry.name == name:
                return usable_alone(entry)[0]
        raise NoSuchUpstream

    def on(self, candidate: Candidate, model: str | None) -> Candidate:
        """The named upstream for a call for this model, which may have another name there. Raises ModelHidden."""
        if model is None:
            return candidate
        view = self._view
        places = (place for place in view.places(model) if place.entry.target == candidate.upstream)
        found = next((one for place in places if (one := place.candidate(model)) is not None), None)
        if found is None and view.hides(model, view.entries.get(candidate.upstream.id or 0)):
            raise ModelHidden
        return found or candidate

    def by_id(self, upstream_id: int | None) -> Candidate | None:
        """The upstream with this id, whatever its state: what runs there may still be asked after. None when gone."""
        entry = self._view.entries.get(upstream_id) if upstream_id is not None else None
        return Candidate(entry.target) if entry is not None and entry.target is not None else None

    def upstreams_with(self, model: str | None) -> set[int]:
        """The ids of those that calls for the model (None: that name none) go to while they take calls, whatever their
        state is now."""
        view = self._view
        entries = [place.entry for place in view.places(model)] if model is not None else []
        if not entries and view.default is not None:
            entries = [view.default]
        return {pk for pk, entry in view.entries.items() if any(entry is one for one in entries)}

    def models(self) -> Sequence[ServedModel]:
        """All models that may be called by name, by name."""
        return self._view.models()

    def prefix_bytes(self, model: str | None) -> int:
        """How much of a prompt decides where calls for this model go; 0 where it decides nothing."""
        return self._view.prefix_bytes_of(model) if model is not None else 0

    def _ordered(self, model: str, found: list[Candidate], hints: Hints) -> list[Candidate]:
        """By the alias's strategy; behind them those that look ill or cool down, the one that is free soonest first."""
        turn = self._turns[model]
        if len(self._turns) > MOST_TURNS:  # callers choose names where an alias is a pattern
            self._turns.clear()
        self._turns[model] = turn + 1
        troubles = {one: self.trouble(one) for one in found} if self._cooldowns or self._unhealthy else {}
        well = [one for one in found if troubles.get(one, WELL) == WELL]
        behind = sorted((one for one in found if troubles.get(one, WELL) != WELL), key=troubles.__getitem__)
        if well:
            behind = [replace(one, is_last_resort=True) for one in behind]
        if len(well) < 2:
            return well + behind
        strategy = STRATEGIES.get(self._view.strategy_of(model), STRATEGIES["least_in_flight"])
        return strategy.order(well, Situation(self.in_flight, self._loads, self._sent_since), hints, turn) + behind

    def trouble(self, candidate: Candidate) -> tuple[float, bool]:
        """In how many seconds it may be called, and whether the probes find it ill; WELL for who comes first."""
        upstream_id = candidate.upstream.id
        return self._cooldowns.wait(upstream_id), upstream_id in self._unhealthy

    @staticmethod
    def _without_default(view: View) -> Target:
        if view.version < 0:
            raise NoUpstream("The gateway is starting and has not read its upstreams yet.", retry_after=1)
        if view.entries:
            raise NoUpstream("No upstream serves this model, and none is marked as default.")
        return Target(None, "fallback", settings.UPSTREAM_BASE_FALLBACK, settings.UPSTREAM_CREDENTIAL)

    def strategy_of(self, model: str) -> str:
        """How one of several candidates for a call for this model is chosen."""
        return self._view.strategy_of(model)

    def standing_of(self, upstream_id: int | None) -> tuple[int, int | None]:
        """The calls that this process has open there, and how many wait there by its own figures, if known."""
        load = self._loads.get(upstream_id)
        return self._open.get(upstream_id, 0), None if load is None else load.waiting

    @property
    def default(self) -> Target | None:
        """The upstream for calls whose model is nobody's alias; None when it takes no calls or there is none."""
        try:
            return self.candidates(None)[0].upstream
        except (NoUpstream, CredentialUnreadable):
            return None

    def default_served_model(self) -> str | None:
        """The model that the default upstream's vLLM takes when a call names none; None when that is not known."""
        return first_model(self._view.default)

    def served_model_of(self, upstream_id: int | None) -> str | None:
        """The model that this upstream's vLLM takes when a call names none; None when that is not known."""
        return first_model(self._view.entries.get(upstream_id) if upstream_id is not None else None)

    def names_at(self, upstream_id: int | None) -> frozenset[str]:
        """All names of that model: its own, and those by which it may be asked for. Empty when it is not known."""
        entry = self._view.entries.get(upstream_id) if upstream_id is not None else None
        served = first_model(entry)
        if entry is None or served is None:
            return frozenset()
        view = self._view
        own = (one.alias for one in entry.deployments if one.served_name == served)
        others = (name for name, one in view.aliases.items() if one.stands_for and view.leads_to(name, entry, served))
        return frozenset((served, *own, *others))

    # --- What calls do there

    @property
    def in_flight(self) -> InFlight:
        """The calls that are open from this process, by upstream id; an id without calls may be missing."""
        return MappingProxyType(self._open)

    def enter(self, upstream_id: int | None, *, is_trial: bool = True) -> None:
        """Counts a call that begins. `is_trial`: whether it can show that an upstream which cooled down is well."""
        if is_trial and self._cooldowns:
            self._cooldowns.try_now(upstream_id)
        with self._open_lock:
            self._open[upstream_id] += 1
            self._sent_since[upstream_id] += 1

    def leave(self, upstream_id: int | None) -> None:
        """Counts a call that has ended; the other half of `enter`."""
        with self._open_lock:
            self._open[upstream_id] -= 1
            if self._open[upstream_id] <= 0:
                del self._open[upstream_id]

    def mark(self, upstream_id: int | None, mark: Mark) -> None:
        """Notes what a call met at an upstream."""
        if mark is Mark.OK and not self._cooldowns:
            return
        routing = self._view.routing
        self._cooldowns.mark(
            upstream_id, mark, seconds=routing.cooldown_seconds, failures=routing.failures_before_cooldown
        )

    def cooling(self) -> dict[int | None, float]:
        """The upstreams that this process passes over, and for how many seconds."""
        return self._cooldowns.waits()

    def adopt_cooldowns(self, seconds: Mapping[int, float]) -> None:
        """Passes over what another process does."""
        for upstream_id, wait in seconds.items():
            self._cooldowns.adopt(upstream_id, wait)


pool = UpstreamPool()
