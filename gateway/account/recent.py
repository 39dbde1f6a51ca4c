"""What ended in the last minute and in the last five, by team: counted where calls end, so that nobody has to sum up
rows of the request log to say what goes on now. Lost with the process. Knows no database.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from gateway.account.endings import Ending, ending_of
from gateway.account.histogram import TTFT_BOUNDS_MS, bucket_of

CALLS, PROMPT_TOKENS, COMPLETION_TOKENS = "calls", "prompt", "completion"
REFUSED, FAILED, CUT = Ending.REFUSED.value, Ending.FAILED.value, Ending.CUT.value
TTFT = tuple(f"ttft{number}" for number in range(len(TTFT_BOUNDS_MS) + 1))
"""How many streams had their first token in each bucket of `gateway.account.histogram`."""

SLOT_SECONDS = 5.0
MINUTE_SLOTS, FIVE_MINUTES_SLOTS = 12, 60
MOST_TEAMS = 500

Figures = dict[str, int]
_Slot = dict[tuple[str, str], int]


class RecentTraffic:
    """Counts in slots of five seconds; what it tells is of whole slots. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._slot: _Slot = {}
        self._ends_at = clock() + SLOT_SECONDS
        self._minute = _Window(MINUTE_SLOTS)
        self._five_minutes = _Window(FIVE_MINUTES_SLOTS)

    def add(self, call: Any) -> None:
        """Counts a call (`gateway.open_call.OpenCall`) that has ended. About two microseconds."""
        if self._clock() >= self._ends_at:
            self._turn()
        slot, team = self._slot, call.team_id or ""
        slot[team, CALLS] = slot.get((team, CALLS), 0) + 1
        ending = ending_of(call.outcome, call.status)
        if ending is not Ending.ANSWERED:
            slot[team, ending.value] = slot.get((team, ending.value), 0) + 1
        if call.prompt_tokens:
            slot[team, PROMPT_TOKENS] = slot.get((team, PROMPT_TOKENS), 0) + call.prompt_tokens
        if call.completion_tokens:
            slot[team, COMPLETION_TOKENS] = slot.get((team, COMPLETION_TOKENS), 0) + call.completion_tokens
        ttft = call.ttft_ms
        if ttft is not None:
            name = TTFT[bucket_of(TTFT_BOUNDS_MS, ttft)]
            slot[team, name] = slot.get((team, name), 0) + 1

    def minute(self) -> dict[str, Figures]:
        """The figures of the last minute by team; "" is no team. None that is zero is named."""
        self._turn()
        return self._minute.by_team()

    def five_minutes(self) -> dict[str, Figures]:
        """Likewise, of the last five minutes."""
        self._turn()
        return self._five_minutes.by_team()

    def _turn(self) -> None:
        """Closes the slots that are over."""
        over = int((self._clock() - self._ends_at) // SLOT_SECONDS) + 1
        if over <= 0:
            return
        self._ends_at += over * SLOT_SECONDS
        for _ in range(min(over, FIVE_MINUTES_SLOTS + 1)):
            slot, self._slot = self._slot, {}
            self._minute.push(slot)
            self._five_minutes.push(slot)


class _Window:
    """The sums of the last so many slots."""

    def __init__(self, slots: int) -> None:
        self._slots: deque[_Slot] = deque({} for _ in range(slots))
        self._sums: _Slot = {}

    def push(self, slot: _Slot) -> None:
        self._slots.append(slot)
        for name, count in slot.items():
            self._sums[name] = self._sums.get(name, 0) + count
        for name, count in self._slots.popleft().items():
            left = self._sums[name] - count
            if left:
                self._sums[name] = left
            else:
                del self._sums[name]

    def by_team(self) -> dict[str, Figures]:
        """Of the 500 teams with most calls, should there be more."""
        found: dict[str, Figures] = {}
        for (team, name), count in self._sums.items():
            found.setdefault(team, {})[name] = count
        if len(found) <= MOST_TEAMS:
            return found
        busiest = sorted(found, key=lambda team: found[team].get(CALLS, 0), reverse=True)
        return {team: found[team] for team in busiest[:MOST_TEAMS]}


def joined(figures: list[Mapping[str, int]]) -> Figures:
    """Figures of several teams, workers or both, added up."""
    sums: Figures = {}
    for one in figures:
        for name, count in one.items():
            sums[name] = sums.get(name, 0) + count
    return sums
