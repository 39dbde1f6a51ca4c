"""What awaits a call that no rule refuses: who could answer it now, and whether it would have to wait for a place.

What passes an upstream over, and who has a place, is decided by the relay's own pool and places; here it is only said
in words, with what probes and relay workers have told of each upstream.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.conf import settings

from common.admin import GOOD, QUIET, WARNING
from gateway.exchange import Exchange
from gateway.rehearsal.plane import RehearsalPlane
from gateway.rehearsal.rehearsal import Rehearsal
from gateway.rehearsal.steps import SOME, Step
from keys.errors import LimitsAway
from upstreams.models import ACTIVE, DRAINING, UNKNOWN, Upstream
from upstreams.pool import WELL
from upstreams.selection import Candidate

HEALTH, PLACE = "Health of the upstreams", "Place at an upstream"


@dataclass(frozen=True, slots=True)
class Standing:
    """How one upstream is: GOOD (could answer now), WARNING (could not) or QUIET (nobody knows), in words."""

    name: str
    kind: str
    text: str
    more: str = ""

    @property
    def short(self) -> str:
        """A clause."""
        return f"{self.name} {self.text}"

    def __str__(self) -> str:
        return f"{self.short}: {self.more}" if self.more else f"{self.short}."


@dataclass(frozen=True, slots=True)
class Outlook:
    """The steps after all rules, and a clause that says what is against the call ("" when nothing is)."""

    steps: Sequence[Step] = ()
    doubt: str = ""


def outlook_of(rehearsal: Rehearsal, plane: RehearsalPlane) -> Outlook:
    """Of a rehearsal that was answered and not refused."""
    exchange = rehearsal.exchange
    if exchange is None or not exchange.candidates:
        return Outlook()  # the gateway answers itself
    standings = standings_of(rehearsal, plane)
    if not any(one.kind != WARNING for one in standings):
        told = ", ".join(one.short for one in standings[:SOME])
        step = Step(HEALTH, WARNING, "Nobody", "Nobody could answer this call now.", tuple(map(str, standings)))
        return Outlook([step, Step(PLACE, QUIET, "Not reached")], f"nobody could answer now: {told}")
    if not plane.reports:
        text = "No relay worker says that it is there and takes calls."
        return Outlook([Step(HEALTH, WARNING, "Nobody", text, tuple(map(str, standings)))], _lower(text))
    place, doubt = _place(exchange, plane)
    return Outlook([_health(standings), place], doubt)


def standings_of(rehearsal: Rehearsal, plane: RehearsalPlane) -> list[Standing]:
    """Every upstream that has the model, the candidates in their order first, then those that take no calls."""
    exchange = rehearsal.exchange
    if exchange is None:
        return []
    names_one = exchange.face.upstream is not None or bool(rehearsal.wanted.upstream)
    known = set() if names_one else plane.pool.upstreams_with(exchange.model)
    ids = {one.upstream.id for one in exchange.candidates if one.upstream.id is not None}
    rows = Upstream.objects.in_bulk([*known, *ids])
    standings = [_standing(one, rows.get(one.upstream.id or 0), plane) for one in exchange.candidates]
    resting = [rows[pk] for pk in sorted(known - ids) if pk in rows and rows[pk].state != ACTIVE]
    return [*standings, *(Standing(row.name, WARNING, _resting(row)) for row in resting)]


def _standing(candidate: Candidate, row: Upstream | None, plane: RehearsalPlane) -> Standing:
    wait, is_ill = trouble = plane.pool.trouble(candidate)
    name = candidate.upstream.name
    if row is None:
        return Standing(name, QUIET, "is watched by nobody", "it stands in until there is an upstream.")
    if row.state != ACTIVE:  # changed a moment ago
        return Standing(name, WARNING, _resting(row))
    if is_ill:
        return Standing(name, WARNING, "is unhealthy", row.health_text)
    if trouble != WELL:
        return Standing(name, WARNING, f"cools down for {max(1, round(wait))} s", "calls there have failed.")
    if row.posture.get("asleep"):
        return Standing(name, WARNING, "sleeps", "calls wait there until it is woken up.")
    if row.health == UNKNOWN:
        return Standing(name, QUIET, "has not been checked yet")
    return Standing(name, GOOD, "is healthy")


def _resting(row: Upstream) -> str:
    return "drains and takes no new calls" if row.state == DRAINING else "is disabled"


def _health(standings: Sequence[Standing]) -> Step:
    lines = tuple(map(str, standings))
    well = sum(one.kind == GOOD for one in standings)
    if not well:
        return Step(HEALTH, WARNING, "Not certain", "Nobody knows whether one could answer now.", lines)
    text = "It could answer now." if len(standings) == 1 else f"{well} of {len(standings)} could answer now."
    return Step(HEALTH, GOOD, "Passed", text, lines)


def _place(exchange: Exchange, plane: RehearsalPlane) -> tuple[Step, str]:
    try:
        found = plane.places.at_once(exchange.call, exchange.candidates)
    except LimitsAway as error:
        return Step(PLACE, WARNING, "Not certain", error.message), ""
    if found is not None and found.upstream.max_parallel is None:
        return Step(PLACE, GOOD, "Passed", f"{found.upstream.name} takes any number of calls at once."), ""
    if found is not None and plane.place_counters.is_partial:
        return Step(PLACE, WARNING, "Not certain", "The relay could not be asked which places are taken."), ""
    if found is not None:
        text = f"{found.upstream.name} has a free place: it takes {found.upstream.max_parallel:,} calls at once."
        return Step(PLACE, GOOD, "Passed", text), ""
    lines = tuple(_ceilings(exchange.candidates))
    if all(report.facts.get("queue_full") for report in plane.reports):
        text = "All places are taken, and no more calls may wait: it would be refused with status 503."
        return Step(PLACE, WARNING, "Full", text, lines), "all places are taken and no more calls may wait"
    text = f"All places are taken: it would wait in the queue, for {settings.QUEUE_SECONDS:g} s at most."
    return Step(PLACE, WARNING, "Waits", text, lines), "it would wait in the queue"


def _ceilings(candidates: Sequence[Candidate]) -> Iterator[str]:
    for one in candidates:
        if one.upstream.max_parallel is not None and not one.is_last_resort:
            yield f"{one.upstream.name} takes {one.upstream.max_parallel:,} calls at once"


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:].rstrip(".")
