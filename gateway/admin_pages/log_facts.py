"""What a row's `decisions` says, made safe to read: rows of older releases lack some of it, or all. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from common.admin import DASH
from keys.limit_values import Unit
from keys.limit_words import KIND_WORDS, amount, limit_word
from keys.shared_use import SHARED_KINDS

NOT_TOLD = "counts calls of other teams too"


@dataclass(frozen=True, slots=True)
class LimitSeen:
    """How a limit stood when the call was let through; `used` is with the call's own part, "" where it was not.

    The one that `refused` the call tells what was in use before it.
    """

    whose: str
    name: str
    ceiling: str
    used: str
    taken: str
    left: str
    state: str
    share: float | None
    refused: bool = False


@dataclass(frozen=True, slots=True)
class CandidateSeen:
    """An upstream that could have had the call; `waiting` by its own figures. None: not known, or not told."""

    name: str
    in_flight: int | None
    waiting: int | None
    is_last_resort: bool


class Facts:
    """One row's. Who does not see every team (`sees_all`) is not told what calls of others had part in: how many were
    open at an upstream, and how much an owner or an end user had used."""

    def __init__(self, decisions: Any, *, sees_all: bool = True) -> None:
        self._told: Mapping[str, Any] = decisions if isinstance(decisions, dict) else {}
        self._sees_all = sees_all

    def __bool__(self) -> bool:
        return bool(self._told)

    def text(self, name: str) -> str:
        """A fact that is a text, "" without it."""
        value = self._told.get(name)
        return value if isinstance(value, str) else ""

    @property
    def reused(self) -> bool:
        """Whether the connection to the upstream stood already."""
        return self._told.get("reused") is True

    @property
    def at(self) -> dict[str, float]:
        """The moments, in milliseconds from receiving the call."""
        return {str(name): moment / 1000 for name, moment in self._dict("at").items()}

    @property
    def tried(self) -> list[tuple[str, float, float, str]]:
        """The upstreams that did not keep the call: name, from, to, end."""
        rows = self._told.get("tried") or ()
        return [(str(name), asked / 1000, ended / 1000, str(end)) for name, asked, ended, end in rows]

    @property
    def among(self) -> list[CandidateSeen]:
        """Between which upstreams was chosen."""
        rows = self._told.get("among") or ()
        seen = [CandidateSeen(str(name), int(calls), waiting, bool(last)) for name, calls, waiting, last in rows]
        return seen if self._sees_all else [replace(one, in_flight=None, waiting=None) for one in seen]

    @property
    def prices(self) -> dict[str, str]:
        """US dollars, by what they are for."""
        return {str(name): str(price) for name, price in self._dict("prices").items()}

    @property
    def limits(self) -> list[LimitSeen]:
        """The limits that counted the call."""
        return list(self._limits())

    def _dict(self, name: str) -> dict[str, Any]:
        value = self._told.get(name)
        return value if isinstance(value, dict) else {}

    def _limits(self) -> Iterator[LimitSeen]:
        for whose, name, model, unit, ceiling, used, taken, left, enforced, exceeded in self._told.get("limits") or ():
            words, refused = limit_word(name), bool(enforced and exceeded)
            if whose in SHARED_KINDS and not self._sees_all:
                state = ", ".join(filter(None, (_state(enforced=enforced, exceeded=exceeded), NOT_TOLD)))
                yield LimitSeen(KIND_WORDS[whose], words, DASH, "", _amount(taken, unit), "", state, None, refused)
                continue
            yield LimitSeen(
                whose=KIND_WORDS.get(whose, whose),
                name=f"{words} ({model})" if model else words,
                ceiling=_amount(ceiling, unit),
                used="" if used is None else _amount(used, unit).removesuffix(" tokens"),
                taken=_amount(taken, unit),
                left=_left(left),
                state=_state(enforced=enforced, exceeded=exceeded),
                share=None if used is None or not ceiling else min(1.0, used / ceiling),
                refused=refused,
            )


def _amount(number: int, unit: Unit | None) -> str:
    return f"{number:,}" if unit is None else amount(number, unit)


def _left(seconds: float | None) -> str:
    """In how much time the limit's window ends; places have none."""
    if not seconds:
        return ""
    for length, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {word}"
    return f"{seconds:.0f} s"


def _state(*, enforced: bool, exceeded: bool) -> str:
    if exceeded:
        return "" if enforced else "gone over, in shadow"
    return "" if enforced else "in shadow"
