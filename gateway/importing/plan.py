"""What an import would change: LiteLLM's rows against ours, and against what was taken over the last time.

A column that nobody has changed here since follows LiteLLM. One that was changed here stays, which the plan says,
unless `overwrite`. What was deleted here stays deleted. Spend only grows, by what was spent there since the last time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from common.money import shown as dollars_shown
from gateway.importing.here import Found, Here, compared
from gateway.importing.memory import ImportedRow
from gateway.importing.wanted import KEY, KINDS, MODEL, OWNER, Note, OldSecret, Refused, Wanted, Wishes, printable
from keys.identity import DEFAULT

ADD, CHANGE = "+", "~"
_UNSHOWN = frozenset({"metadata", "credential", "info"})
_UNSAID = frozenset({"alias", "name"})


@dataclass(frozen=True, slots=True)
class Change:
    """One row to write. `values` are columns; `drop` and `ends` are about secrets that the key has already."""

    sign: str
    kind: str
    name: str
    details: tuple[str, ...] = ()
    row_id: int | None = None
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    secrets: tuple[OldSecret, ...] = ()
    drop: tuple[str, ...] = field(default=(), repr=False)
    ends: Mapping[str, datetime] = field(default_factory=dict, repr=False)
    spend: int = 0

    def __str__(self) -> str:
        details = f": {', '.join(self.details)}" if self.details else ""
        return f"{self.sign} {self.kind} {self.name}{details}"


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is kept of a wish: in the row `memory_id` where there is one, for our row `row_id` (None: the one that
    the change at this place makes).
    """

    wish: Wanted
    memory_id: int | None
    row_id: int | None
    change: int | None


@dataclass(slots=True)
class Plan:
    """Changes in the order in which they are made, what stays and why, and what to remember or forget."""

    changes: list[Change] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    unchanged: int = 0
    remember: list[Remembered] = field(default_factory=list)
    forget: list[int] = field(default_factory=list)
    as_of: tuple[int, int] = (-1, -1)
    """The versions of keys and of upstreams that it was made for."""

    def is_empty(self) -> bool:
        """Whether there is nothing that a person would want to be asked about."""
        return not self.changes

    def summary(self) -> str:
        """Such as `12 new, 3 changed`."""
        new = sum(change.sign == ADD for change in self.changes)
        return f"{new} new, {len(self.changes) - new} changed"


def make_plan(wishes: Wishes, here: Here, *, overwrite: bool, now: datetime) -> Plan:
    """What would have to change now."""
    planner = _Planner(wishes, here, now, overwrite=overwrite)
    for kind in KINDS:
        for wish in wishes.rows:
            if wish.kind == kind:
                planner.add(wish)
    planner.add_gone()
    return planner.plan


class _Planner:
    def __init__(self, wishes: Wishes, here: Here, now: datetime, *, overwrite: bool) -> None:
        self.plan = Plan(refused=list(wishes.refused), notes=list(wishes.notes))
        self._here = here
        self._overwrite = overwrite
        self._now = now
        self._current = {kind: wishes.ids(kind) for kind in KINDS}
        self._used: set[int] = set()  # memory rows that a wish has
        self._memory_of_key: dict[int, ImportedRow] = {}
        for (kind, digest), memory in here.memory.items():
            if kind == KEY and digest not in self._current[KEY]:
                self._memory_of_key[memory.row_id] = memory

    def add(self, wish: Wanted) -> None:
        """Finds the wish's row: by LiteLLM's id (of a key its digest), by what is remembered, by a key's name."""
        memory = self._here.memory.get((wish.kind, wish.source_id))
        found = self._here.rows[wish.kind].get(wish.source_id)
        if memory is not None:
            self._used.add(memory.pk)
            if found is None and wish.kind == KEY:
                found = self._here.keys.get(memory.row_id)
        if wish.kind == KEY and wish.source_id == self._here.master:
            self._refuse(wish, "it is the master key here.")
        elif found is not None:
            self._compare(wish, found, memory)
        elif memory is not None and not self._overwrite:
            self.plan.kept.append(f"{wish.kind} {wish.name} was deleted here")
        elif wish.kind == KEY and wish.values["name"] in self._here.key_names:
            self._add_by_name(wish, self._here.keys[self._here.key_names[wish.values["name"]]])
        else:
            self._add_new(wish, memory)

    def _add_new(self, wish: Wanted, memory: ImportedRow | None) -> None:
        reason = self._why_not(wish)
        if reason:
            self._refuse(wish, reason)
            return
        values = dict(wish.values)
        if wish.kind == OWNER and self._here.emails.get(values["email"]) is not None:
            self.plan.notes.append(Note(OWNER, wish.name, "another owner has its e-mail address, which is left out."))
            values["email"] = None
        spend = self._spend(wish, None)
        secrets = tuple(one for one in wish.secrets if one.digest not in self._here.rows[KEY])
        details = (*shown_new(values), *_spend_words(spend))
        self._remember(wish, memory, None, len(self.plan.changes))
        self.plan.changes.append(Change(ADD, wish.kind, wish.name, details, None, values, secrets, spend=spend))

    def _why_not(self, wish: Wanted) -> str:
        """Why the new row cannot be."""
        if wish.kind != MODEL:
            return ""
        values = compared(wish.values)
        place = (values["url"], values["credential"], values["alias"])
        if place in self._here.aliases or (
            not values["credential"]
            and any((url, alias) == (place[0], place[2]) for url, _, alias in self._here.aliases)
        ):
            return "its server has a model of this name here already."
        self._here.aliases.add(place)
        return ""

    def _add_by_name(self, wish: Wanted, found: Found) -> None:
        """A key whose digest nobody knows here, with the name of a key that is here.

        Names are for anybody there to choose: it is that key when it was rotated there, or when a person says so.
        """
        memory = self._memory_of_key.get(found.id)
        is_rotated = memory is not None and all(
            memory.values.get(name) == wish.values[name] for name in ("user_id", "team_id")
        )
        if found.closed:
            self._refuse(wish, f"a key here has its alias, and {found.closed}.")
        elif memory is not None and is_rotated:
            self._used.add(memory.pk)
            self._compare(wish, found, memory)
        elif self._overwrite:
            self._compare(wish, found, None)
        else:
            self._refuse(wish, "a key here has its alias; with --overwrite that one takes its secret and its limits.")

    # --- Rows that are here ---------------------------------------------------------------------------------

    def _compare(self, wish: Wanted, found: Found, memory: ImportedRow | None) -> None:
        values, details = self._changed(wish, found, memory)
        secrets, drop, ends, words = _secrets(wish, found, memory, self._here)
        spend = self._spend(wish, memory)
        details += (*words, *_spend_words(spend))
        self._remember(wish, memory, found.id, None)
        if not details:
            self.plan.unchanged += 1
            return
        self.plan.changes.append(
            Change(CHANGE, wish.kind, wish.name, details, found.id, values, secrets, drop, ends, spend)
        )

    def _changed(
        self, wish: Wanted, found: Found, memory: ImportedRow | None
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The columns that follow LiteLLM, and words for them; those that stay are said."""
        values, details, kept = {}, [], []
        is_fixed = wish.kind == MODEL and bool(found.closed)
        for name, theirs in compared(wish.values).items():
            ours = found.value(name)
            if theirs == ours or (name == "credential" and not theirs):
                continue
            is_untouched = memory is not None and name in memory.values and memory.values[name] == ours
            is_free = not is_fixed and not self._is_taken(wish, name, found)
            if is_free and (self._overwrite or is_untouched):
                values[name] = wish.values[name]
                details.append(_changed_words(name, ours, theirs))
            else:
                kept.append(_kept_words(name, ours, theirs))
        if "url" in values:  # a credential belongs to its server
            values["credential"] = wish.values["credential"]
        if kept:
            why = f", which {found.closed}" if is_fixed else ""
            self.plan.kept.append(f"{wish.kind} {wish.name}{why}: {', '.join(kept)}")
        return values, tuple(details)

    def _is_taken(self, wish: Wanted, column: str, found: Found) -> bool:
        """Whether another row has this name or e-mail address."""
        value = wish.values[column]
        if wish.kind == KEY and column == "name":
            return self._here.key_names.get(value, found.id) != found.id
        if wish.kind == OWNER and column == "email":
            return self._here.emails.get(value, found.id) != found.id
        return False

    def _spend(self, wish: Wanted, memory: ImportedRow | None) -> int:
        """What was spent there, in a window that still runs, since it was last taken over."""
        spent = wish.spent
        if spent.resets_at is not None and spent.resets_at <= self._now:
            return 0
        is_same_window = memory is not None and memory.resets_at == spent.resets_at
        before = memory.spend if memory is not None and is_same_window else 0
        return max(0, spent.units - before)

    # --- The rest -------------------------------------------------------------------------------------------

    def add_gone(self) -> None:
        """What LiteLLM had the last time and has no more: keys are refused here too, the rest stays."""
        for (kind, source_id), memory in self._here.memory.items():
            if source_id in self._current.get(kind, ()) or memory.pk in self._used:
                continue
            self.plan.forget.append(memory.pk)
            if kind == KEY:
                self._add_gone_key(memory)
            else:
                name = printable(source_id)
                self.plan.notes.append(Note(kind, name, "is not in LiteLLM any more, and stays here."))

    def _add_gone_key(self, memory: ImportedRow) -> None:
        found = self._here.keys.get(memory.row_id)
        theirs = set(memory.digests)
        if found is None or not theirs & found.digests.keys():
            return
        name = printable(found.row)
        if found.digests.keys() - theirs:
            drop = tuple(sorted(theirs & found.digests.keys()))
            details: tuple[str, ...] = ("it is not in LiteLLM any more, so its secret from there ends",)
            self.plan.changes.append(Change(CHANGE, KEY, name, details, found.id, drop=drop))
        elif not found.row.blocked:
            details = ("it is not in LiteLLM any more, so it is blocked",)
            self.plan.changes.append(Change(CHANGE, KEY, name, details, found.id, {"blocked": True}))

    def _refuse(self, wish: Wanted, reason: str) -> None:
        self.plan.refused.append(Refused(wish.kind, wish.source_id, wish.name, reason))

    def _remember(self, wish: Wanted, memory: ImportedRow | None, row_id: int | None, change: int | None) -> None:
        if memory is None or change is not None or not _says(memory, wish, row_id):
            self.plan.remember.append(Remembered(wish, memory.pk if memory else None, row_id, change))


def _says(memory: ImportedRow, wish: Wanted, row_id: int | None) -> bool:
    """Whether the same is remembered already."""
    return (
        (memory.source_id, memory.row_id, memory.spend) == (wish.source_id, row_id, wish.spent.units)
        and memory.resets_at == wish.spent.resets_at
        and memory.digests == [secret.digest for secret in wish.secrets]
        and memory.values == compared(wish.values)
    )


def _secrets(
    wish: Wanted, found: Found, memory: ImportedRow | None, here: Here
) -> tuple[tuple[OldSecret, ...], tuple[str, ...], dict[str, datetime], tuple[str, ...]]:
    """New secrets, those that end at once, those that end later, and words for them.

    A secret that was taken over once and is not here any more was ended here, and stays ended.
    """
    ours, before = found.digests, set(memory.digests) if memory else set()
    there = {one.digest: one for one in wish.secrets}
    new = tuple(one for one in wish.secrets if one.digest not in before and one.digest not in here.rows[KEY])
    if found.closed:
        new = ()
    drop = tuple(sorted((before & ours.keys()) - there.keys()))
    ends = {
        digest: one.expires_at
        for digest, one in there.items()
        if digest in ours and one.expires_at is not None and _is_later(ours[digest], one.expires_at)
    }
    words = [f"{len(new)} more secret{'s' * (len(new) > 1)}"] if new else []
    words += [f"{len(drop)} secret{'s' * (len(drop) > 1)} less"] if drop else []
    words += ["its old secret ends with the rotation there"] if ends else []
    return new, drop, ends, tuple(words)


def _is_later(ours: datetime | None, theirs: datetime) -> bool:
    return ours is None or ours > theirs


def _spend_words(spend: int) -> tuple[str, ...]:
    return (f"{dollars_shown(spend)} USD spent there",) if spend else ()


def shown_new(values: Mapping[str, Any]) -> Iterable[str]:
    """Such as `rpm_limit 5`, `with metadata`; what is empty, and the name, goes unsaid."""
    for name, value in compared(values).items():
        if name in _UNSAID or value is None or value is False or value in ("", {}, [], DEFAULT):
            continue
        yield f"with {name}" if name in _UNSHOWN else f"{name} {_text(value)}"


def _changed_words(name: str, ours: object, theirs: object) -> str:
    return f"{name} changed" if name in _UNSHOWN else f"{name} {_text(ours)} → {_text(theirs)}"


def _kept_words(name: str, ours: object, theirs: object) -> str:
    return name if name in _UNSHOWN else f"{name} {_text(ours)} (LiteLLM: {_text(theirs)})"


def _text(value: object) -> str:
    if value is None or value in ("", [], {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return printable(f"[{', '.join(map(str, value))}]")
    return printable(value)
