"""In which order the candidates for a call are tried. Values in, values out: knows no database and no network.

A strategy remembers nothing: whose turn it is comes in as a number that grows with each call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from math import gcd
from typing import Protocol

from upstreams.pricing import Prices


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait on one upstream, in seconds; None: as long as the gateway's setting says."""

    connect: float | None = None
    first_byte: float | None = None
    idle: float | None = None
    total: float | None = None

    @property
    def sets_any(self) -> bool:
        """Whether it says anything of a call that has its connection."""
        return (self.first_byte, self.idle, self.total) != (None, None, None)


NO_TIMEOUTS = Timeouts()


@dataclass(frozen=True, slots=True)
class Target:
    """A server as the relay sees it. `id` is None for the built-in one that stands in while there is no upstream.

    `base_url` has no trailing "/" or "/v1"; `credential` is plain text, "" for none, and never shown.
    `max_parallel`: the most calls at once, None for no ceiling.
    """

    id: int | None
    name: str
    base_url: str = field(repr=False)
    credential: str = field(default="", repr=False)
    max_parallel: int | None = None
    timeouts: Timeouts = NO_TIMEOUTS


@dataclass(frozen=True, slots=True)
class Candidate:
    """A deployment that may receive a call now. `served_name` None: the call's own model name is right.

    `alias` is the deployment's, None where the call goes to an upstream without one. `max_model_len`: tokens that a
    prompt and its completion may have together, where the server has said so. `is_last_resort`: it looks ill or cools
    down, and others do not.
    """

    upstream: Target
    served_name: str | None = None
    alias: str | None = None
    weight: int = 1
    prices: Prices | None = None
    max_model_len: int | None = None
    is_last_resort: bool = False


@dataclass(frozen=True, slots=True)
class Hints:
    """What a call says of where it would like to go. `prefix`: how its prompt begins, in bytes."""

    session: str | None = None
    prefix: bytes = b""
    priority: int = 0


NO_HINTS = Hints()


@dataclass(frozen=True, slots=True)
class Load:
    """vLLM's own figures of one server; `kv_cache_use` is between 0 and 1."""

    waiting: int
    kv_cache_use: float = 0.0


NO_LOAD = Load(0)
InFlight = Mapping[int | None, int]


@dataclass(frozen=True, slots=True)
class Situation:
    """How the upstreams are, by id (zeros may be missing): open calls of this process, recent figures, and the calls
    that this process has sent since those were read."""

    in_flight: InFlight = field(default_factory=dict)
    loads: Mapping[int | None, Load] = field(default_factory=dict)
    sent_since: InFlight = field(default_factory=dict)

    def calls(self, candidate: Candidate) -> int:
        """The calls that this process has open there."""
        return self.in_flight.get(candidate.upstream.id, 0)


MOST_BUSIER = 8
"""How many more calls than the least busy one an upstream may have and still be chosen for a prefix."""

_LONGEST_CYCLE = 1000


class Strategy(Protocol):
    """Orders candidates, best first, and loses none. `turn` is one more with each call."""

    name: str

    def order(
        self, candidates: Sequence[Candidate], situation: Situation, hints: Hints, turn: int
    ) -> list[Candidate]: ...


class LeastInFlight:
    """The upstream with the fewest calls open from this process first; equals take turns."""

    name = "least_in_flight"

    def order(self, candidates: Sequence[Candidate], situation: Situation, hints: Hints, turn: int) -> list[Candidate]:
        return sorted(_turned(candidates, turn), key=situation.calls)


class WeightedRoundRobin:
    """Each its share of the calls by weight, as evenly spread as can be (NGINX's smooth algorithm)."""

    name = "weighted_round_robin"

    def order(self, candidates: Sequence[Candidate], situation: Situation, hints: Hints, turn: int) -> list[Candidate]:
        cycle = _cycle(tuple(candidate.weight for candidate in candidates))
        place = cycle[turn % len(cycle)]
        others = sorted((*candidates[:place], *candidates[place + 1 :]), key=lambda one: -one.weight)
        return [candidates[place], *others]


class LowestWaiting:
    """The shortest queue by vLLM's own figures, then the emptiest KV cache, then the fewest calls sent since.

    Where calls wait already, those sent since will wait as well. Whose figures are not known comes last.
    """

    name = "lowest_waiting"

    def order(self, candidates: Sequence[Candidate], situation: Situation, hints: Hints, turn: int) -> list[Candidate]:
        def key(candidate: Candidate) -> tuple[bool, int, int, int, int]:
            load = situation.loads.get(candidate.upstream.id, NO_LOAD)
            sent = situation.sent_since.get(candidate.upstream.id, 0)
            waiting = load.waiting + sent if load.waiting else 0
            # In tenths: the figures are seconds old, and a small difference would send all their calls to one server.
            return load is NO_LOAD, waiting, int(load.kv_cache_use * 10), sent, situation.calls(candidate)

        return sorted(_turned(candidates, turn), key=key)


class SessionAffinity:
    """All calls of a session to one upstream. Who leaves takes away only its own sessions; back, it has them again."""

    name = "session_affinity"

    def order(self, candidates: Sequence[Candidate], situation: Situation, hints: Hints, turn: int) -> list[Candidate]:
        if not hints.session:
            return LeastInFlight().order(candidates, situation, hints, turn)
        return _by_rendezvous(candidates, hints.session.encode(errors="backslashreplace"))


class PrefixAffinity:
    """Prompts that begin alike to one upstream, whose prefix cache then knows them, while it is not much busier."""

    name = "prefix_affinity"

    def order(self, candidates: Sequence[Candidate], situation: Situation, hints: Hints, turn: int) -> list[Candidate]:
        if not hints.prefix:
            return LeastInFlight().order(candidates, situation, hints, turn)
        bound = min(map(situation.calls, candidates)) + MOST_BUSIER
        return sorted(_by_rendezvous(candidates, hints.prefix), key=lambda one: situation.calls(one) > bound)


def _turned(candidates: Sequence[Candidate], turn: int) -> list[Candidate]:
    start = turn % len(candidates)
    return [*candidates[start:], *candidates[:start]]


@lru_cache(256)
def _cycle(weights: tuple[int, ...]) -> tuple[int, ...]:
    """Whose turn it is, by place, until it begins anew. Large weights are made smaller in proportion."""
    total = sum(weights)
    if total // gcd(*weights) > _LONGEST_CYCLE:
        weights = tuple(max(1, weight * _LONGEST_CYCLE // total) for weight in weights)
    divisor = gcd(*weights)
    weights = tuple(weight // divisor for weight in weights)
    total, gained, cycle = sum(weights), [0] * len(weights), []
    for _ in range(total):
        gained = [had + weight for had, weight in zip(gained, weights, strict=True)]
        place = max(range(len(weights)), key=lambda one: (gained[one], one))
        gained[place] -= total
        cycle.append(place)
    return tuple(cycle)


def _by_rendezvous(candidates: Sequence[Candidate], key: bytes) -> list[Candidate]:
    """The candidates in an order that only the key decides, the same in every process (rendezvous hashing).

    Without one of them the others keep their order, so only the keys that it came first for move.
    """
    short = blake2b(key, digest_size=16).digest()

    def score(one: Candidate) -> bytes:
        return blake2b(b"%d" % (one.upstream.id or 0), key=short, digest_size=8).digest()

    return sorted(candidates, key=score)


_ALL: tuple[Strategy, ...] = (
    LeastInFlight(),
    WeightedRoundRobin(),
    LowestWaiting(),
    SessionAffinity(),
    PrefixAffinity(),
)
STRATEGIES: Mapping[str, Strategy] = {strategy.name: strategy for strategy in _ALL}
