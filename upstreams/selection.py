"""In which order the candidates for a call are tried. Values in, values out: knows no database and no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Target:
    """A server as the relay sees it. `id` is None for the built-in one that stands in while there is no upstream.

    `base_url` has no trailing "/" or "/v1"; `credential` is plain text, "" for none, and never shown.
    """

    id: int | None
    name: str
    base_url: str = field(repr=False)
    credential: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A deployment that may receive a call now. `served_name` None: the call's own model name is right."""

    upstream: Target
    served_name: str | None = None


InFlight = Mapping[int | None, int]


class Strategy(Protocol):
    """Orders candidates, best first; `in_flight` holds the open calls by upstream id, without the zeros."""

    name: str

    def order(self, candidates: Sequence[Candidate], in_flight: InFlight) -> list[Candidate]: ...


class LeastInFlight:
    """The upstream with the fewest calls open from this process first; equals keep their order."""

    name = "least_in_flight"

    def order(self, candidates: Sequence[Candidate], in_flight: InFlight) -> list[Candidate]:
        return sorted(candidates, key=lambda candidate: in_flight.get(candidate.upstream.id, 0))


STRATEGIES: list[Strategy] = [LeastInFlight()]


def choose(candidates: Sequence[Candidate], in_flight: InFlight) -> list[Candidate]:
    """All candidates in the order in which the call should try them."""
    return STRATEGIES[0].order(candidates, in_flight)
