"""All upstreams at one version, as values: which deployments a model name means. Never changed, only replaced."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from upstreams.entries import Entry, Place, ServedModel, served
from upstreams.models import DISCOVERED
from upstreams.pricing import Prices
from upstreams.routing import ModelAlias, Routing
from upstreams.selection import PrefixAffinity

PREFIXES = ("vllm/", "hosted_vllm/")
"""What LiteLLM's users write before a model's name; understood where no alias has that exact name."""

_MOST_STEPS = 5  # of aliases that stand for each other


@dataclass(frozen=True, slots=True)
class View:
    """All upstreams at one version; -1 is before the first refresh."""

    version: int = -1
    entries: Mapping[int, Entry] = field(default_factory=dict)
    by_alias: Mapping[str, tuple[Place, ...]] = field(default_factory=dict)
    wildcards: tuple[tuple[str, tuple[Place, ...]], ...] = ()
    aliases: Mapping[str, ModelAlias] = field(default_factory=dict)
    routing: Routing = field(default_factory=Routing)
    default: Entry | None = None
    hidden: Mapping[str, Sequence[Entry]] = field(default_factory=dict)
    strategies: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        version: int,
        entries: Mapping[int, Entry],
        aliases: Iterable[ModelAlias] = (),
        routing: Routing | None = None,
    ) -> View:
        """A view of these rows."""
        by_alias: dict[str, tuple[Place, ...]] = {}
        hidden: dict[str, list[Entry]] = {}
        for _, entry in sorted(entries.items()):
            prices = _prices(entry)
            for one in entry.deployments:
                served_name = one.served_name or one.alias
                inherited = prices.get(served_name) if one.source == DISCOVERED else None
                place = Place(entry, one.alias, served_name, one.share, Prices.of(one) or inherited)
                if one.hidden:
                    hidden.setdefault(one.alias, []).append(entry)
                elif place.is_listed or one.source != DISCOVERED:
                    by_alias[one.alias] = (*by_alias.get(one.alias, ()), place)
        patterns = sorted((alias for alias in by_alias if "*" in alias), key=_specificity)
        said, routing = {one.name: one for one in aliases}, routing or Routing()
        return cls(
            version,
            entries,
            {alias: places for alias, places in by_alias.items() if "*" not in alias},
            tuple((pattern, by_alias[pattern]) for pattern in patterns),
            said,
            routing,
            next((entry for entry in entries.values() if entry.is_default), None),
            hidden,
            frozenset({routing.strategy, *(one.strategy for one in said.values())}),
        )

    def places(self, model: str) -> Sequence[Place]:
        """The deployments that a model name means; none when nobody has that name."""
        names = [self._stood_for(name) for name in _readings(model)]
        for name in names:
            if name in self.by_alias:
                return self.by_alias[name]
        for pattern, wild in self.wildcards:
            for name in reversed(names):  # without the prefix first: a `*` means the model's own name
                part = _matched(pattern, name)
                if part is not None:
                    return [_filled(place, part) for place in wild if not self.hides(model, place.entry)]
        return ()

    def leads_to(self, model: str, entry: Entry, served_name: str) -> bool:
        """Whether a call for this name may reach that model of the upstream."""
        return any(place.entry is entry and place.served_name == served_name for place in self.places(model))

    def hides(self, model: str, entry: Entry | None) -> bool:
        """Whether an admin has hidden a model of this name on the upstream."""
        return bool(self.hidden) and any(one is entry for name in _readings(model) for one in self.hidden.get(name, ()))

    def strategy_of(self, model: str) -> str:
        """The strategy for this model: of the name asked for, else of the alias that it leads to, else of all."""
        return next((one.strategy for one in self._said_of(model) if one.strategy), self.routing.strategy)

    def prefix_bytes_of(self, model: str) -> int:
        """How much of a prompt decides where calls for this model go; 0 where it decides nothing."""
        if PrefixAffinity.name not in self.strategies or self.strategy_of(model) != PrefixAffinity.name:
            return 0
        return next((one.prefix_bytes for one in self._said_of(model) if one.prefix_bytes), self.routing.prefix_bytes)

    def _said_of(self, model: str) -> Iterator[ModelAlias]:
        """What the admin has said of this name, the most particular first."""
        names = chain(_readings(model), (place.alias for place in self.places(model)[:1]))
        return (self.aliases[name] for name in names if name in self.aliases)

    def _stood_for(self, name: str) -> str:
        for _ in range(_MOST_STEPS):
            alias = self.aliases.get(name)
            if alias is None or not alias.stands_for or name in self.by_alias:
                break
            name = alias.stands_for
        return name

    def models(self) -> list[ServedModel]:
        """Everything that has a name of its own, by name; patterns are no names."""
        names = {*self.by_alias, *(one.name for one in self.aliases.values() if one.stands_for)}
        listed = []
        for name in sorted(names):
            usable = [place for place in self.places(name) if place.entry.active]
            if usable:
                listed.append(served(name, usable))
        return listed


def _prices(entry: Entry) -> dict[str, Prices]:
    """What each model of the server costs under any of its names: the name that was discovered is no way around it."""
    found = ((one.served_name or one.alias, Prices.of(one)) for one in entry.deployments)
    return {served_name: prices for served_name, prices in found if prices is not None}


def _readings(model: str) -> list[str]:
    """The name as it is, then without a prefix that names the kind of server."""
    cut = (model.removeprefix(prefix) for prefix in PREFIXES if model.startswith(prefix))
    return [model, *(name for name in cut if name)]


def _specificity(pattern: str) -> tuple[int, str]:
    """The pattern with more of its own characters first."""
    return (-len(pattern.replace("*", "")), pattern)


def _matched(pattern: str, name: str) -> str | None:
    """What stands in the place of the pattern's first `*`; None when the name does not fit."""
    before, _, after = pattern.partition("*")
    fits = len(name) >= len(before) + len(after) and name.startswith(before) and name.endswith(after)
    return name[len(before) : len(name) - len(after)] if fits else None


def _filled(place: Place, part: str) -> Place:
    return Place(place.entry, place.alias, place.served_name.replace("*", part, 1), place.weight, place.prices)
