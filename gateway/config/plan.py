"""What has to change so that the database says what a file says. Pure: values in, changes out, no secret shown.

Rows that a file brought are the file's: changed with it, and removed when it no longer has them. Rows of people and
of the environment are never touched; where the file says otherwise of them, that is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.config.document import ConfigError
from gateway.config.matching import ADMIN, CONFIG, DISCOVERED, Stored, StoredUpstream, is_plain, match
from gateway.config.naming import name_all
from gateway.config.wanted import AliasSpec, DeploymentSpec, KeySpec, UpstreamSpec, Wanted, columns
from gateway.config.wording import different_from, not_ours, shown, shown_new
from keys import crypto

__all__ = ["Change", "Plan", "State", "Stored", "StoredKey", "StoredUpstream", "make_plan"]

ADD, CHANGE, REMOVE = "add", "change", "remove"
_SIGNS = {ADD: "+", CHANGE: "~", REMOVE: "-"}
_UNSAID = ("name", "state", "is_default")
UPSTREAM, DEPLOYMENT, ALIAS, ROUTING, KEY = "upstream", "deployment", "model alias", "routing", "virtual key"


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A virtual key with the digests of its secrets."""

    id: int
    is_of_the_file: bool
    spec: KeySpec
    digests: frozenset[str]


@dataclass(frozen=True, slots=True)
class State:
    """What the database has."""

    upstreams: tuple[StoredUpstream, ...] = ()
    aliases: tuple[Stored[AliasSpec], ...] = ()
    routing: Mapping[str, Any] = field(default_factory=dict)
    keys: tuple[StoredKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """One row to add, change or remove. `values` are the columns to write; `upstream` is a deployment's, by name."""

    action: str
    table: str
    name: str
    id: int | None = None
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    details: tuple[str, ...] = ()
    upstream: str = ""

    def __str__(self) -> str:
        words = [_SIGNS[self.action], self.table, self.name, *(["on", self.upstream] if self.upstream else [])]
        details = f": {', '.join(self.details)}" if self.details else ""
        return " ".join(filter(None, words)) + details


@dataclass(frozen=True, slots=True)
class Plan:
    """Changes in the order in which they are made, and warnings."""

    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The plan as a person reads it."""
        return [str(change) for change in self.changes]

    def summary(self) -> str:
        """Such as `2 added, 1 changed, 0 removed`."""
        count = {action: sum(change.action == action for change in self.changes) for action in _SIGNS}
        return f"{count[ADD]} added, {count[CHANGE]} changed, {count[REMOVE]} removed"


def make_plan(state: State, wanted: Wanted) -> Plan:
    """Raises ConfigError when the file means a row of people's that is something else."""
    warnings: list[str] = []
    changes = [
        *_upstreams(wanted.upstreams, state.upstreams, warnings),
        *_aliases(wanted.aliases, state.aliases, warnings),
        *_routing(wanted.routing, state.routing),
        *_keys(wanted.keys, state.keys, warnings),
    ]
    removals = [change for change in changes if change.action == REMOVE]
    # Removed first: a name is free, and an alias is nobody's, before another takes it.
    return Plan((*removals, *(change for change in changes if change.action != REMOVE)), tuple(warnings))


# --- Upstreams and deployments ----------------------------------------------------------------------------------


def _upstreams(wanted: Sequence[UpstreamSpec], rows: Sequence[StoredUpstream], warnings: list[str]) -> Iterator[Change]:
    matches = match(wanted, rows)
    meant = {row.id for row in matches if row is not None}
    others = [row for row in rows if row.id not in meant]
    gone = [row for row in others if row.source == CONFIG and not _has_people_s(row)]
    left = [row for row in rows if row not in gone]
    yield from (Change(REMOVE, UPSTREAM, str(row.spec.name), row.id) for row in gone)
    specs = _with_a_default(name_all(wanted, matches, left), left)
    if not specs and left and any(row.spec.is_default for row in gone):
        warnings.append("The file takes the default upstream away: mark another in the admin, or calls have none.")
    for spec, row, said in zip(specs, matches, wanted, strict=True):
        yield from _upstream(spec, row, warnings, is_named=said.name is not None)
    for spec, row in zip(specs, matches, strict=True):
        yield from _deployments(spec, () if row is None else row.deployments, warnings)
    for row in others:
        if row not in gone:
            yield from _let_go(row, warnings)


def _has_people_s(row: StoredUpstream) -> bool:
    return any(deployment.source not in {CONFIG, DISCOVERED} for deployment in row.deployments)


def _let_go(row: StoredUpstream, warnings: list[str]) -> Iterator[Change]:
    """The file has nothing on this upstream any more; one with deployments of people's is theirs from now on."""
    if row.source == CONFIG:
        details = ("left to the admin, because it has deployments that are not the file's",)
        yield Change(CHANGE, UPSTREAM, str(row.spec.name), row.id, {"source": ADMIN}, details)
    yield from _deployments(row.spec, row.deployments, warnings)


def _with_a_default(specs: Sequence[UpstreamSpec], left: Sequence[StoredUpstream]) -> Sequence[UpstreamSpec]:
    """The first upstream of the file becomes the default when there would be none."""
    if not specs or any(spec.is_default for spec in specs) or any(row.spec.is_default for row in left):
        return specs
    first, *others = specs
    return [replace(first, is_default=True), *others]


def _upstream(
    spec: UpstreamSpec, row: StoredUpstream | None, warnings: list[str], *, is_named: bool
) -> Iterator[Change]:
    values = {name: value for name, value in columns(spec).items() if value is not None or name not in _UNSAID}
    if row is None:
        yield Change(ADD, UPSTREAM, str(spec.name), None, values, shown_new(values, ("name",)))
        return
    before = columns(row.spec)
    different = different_from(values, before)
    if row.source == CONFIG and different:
        yield Change(CHANGE, UPSTREAM, str(row.spec.name), row.id, different, shown(different, before))
    elif row.source != CONFIG:
        if "url" in different:
            raise ConfigError(
                f"The upstream {spec.name} exists already, with another address, and is not the file's: "
                "give the file's upstream another name."
            )
        if not is_named:  # it is there for its deployments only: what the file leaves out means nothing
            different = {name: value for name, value in different.items() if value not in (None, "")}
        if different:
            warnings.append(not_ours(UPSTREAM, str(spec.name), different))


def _deployments(spec: UpstreamSpec, rows: Sequence[Stored[DeploymentSpec]], warnings: list[str]) -> Iterator[Change]:
    place, existing = str(spec.name), {row.spec.alias: row for row in rows}
    wanted = {one.alias: one for one in spec.deployments}
    for row in rows:
        if row.source == CONFIG and row.spec.alias not in wanted:
            yield Change(REMOVE, DEPLOYMENT, row.spec.alias, row.id, upstream=place)
    for one in spec.deployments:
        yield from _deployment(place, one, existing.get(one.alias), warnings)


def _deployment(
    place: str, one: DeploymentSpec, row: Stored[DeploymentSpec] | None, warnings: list[str]
) -> Iterator[Change]:
    values = columns(one)
    if row is None:
        yield Change(ADD, DEPLOYMENT, one.alias, None, values, shown_new(values, ("alias",)), place)
        return
    before = columns(row.spec)
    different = different_from(values, before)
    if row.source == CONFIG and different:
        yield Change(CHANGE, DEPLOYMENT, one.alias, row.id, different, shown(different, before), place)
    elif is_plain(row):  # what the server lists by itself is nobody's: the file's from now on
        details = shown(different, before) or ("kept by the file",)
        yield Change(CHANGE, DEPLOYMENT, one.alias, row.id, different, details, place)
    elif row.source != CONFIG and different:
        warnings.append(not_ours(DEPLOYMENT, f"{one.alias} on {place}", different))


# --- Aliases, routing, keys -------------------------------------------------------------------------------------


def _aliases(wanted: Sequence[AliasSpec], rows: Sequence[Stored[AliasSpec]], warnings: list[str]) -> Iterator[Change]:
    existing, names = {row.spec.name: row for row in rows}, {one.name for one in wanted}
    for row in rows:
        if row.source == CONFIG and row.spec.name not in names:
            yield Change(REMOVE, ALIAS, row.spec.name, row.id)
    for one in wanted:
        found, values = existing.get(one.name), columns(one)
        if found is None:
            yield Change(ADD, ALIAS, one.name, None, values, shown_new(values, ("name",)))
        elif different := different_from(values, columns(found.spec)):
            if found.source == CONFIG:
                yield Change(CHANGE, ALIAS, one.name, found.id, different, shown(different, columns(found.spec)))
            else:
                warnings.append(not_ours(ALIAS, one.name, different))


def _routing(wanted: Mapping[str, Any], stored: Mapping[str, Any]) -> Iterator[Change]:
    different = different_from(wanted, stored)
    if different:
        yield Change(CHANGE, ROUTING, "", 1, different, shown(different, stored))


def _keys(wanted: Sequence[KeySpec], rows: Sequence[StoredKey], warnings: list[str]) -> Iterator[Change]:
    existing, names = {row.spec.name: row for row in rows}, {one.name for one in wanted}
    for row in rows:
        if row.is_of_the_file and row.spec.name not in names:
            yield Change(REMOVE, KEY, row.spec.name, row.id)
    for one in wanted:
        found, values = existing.get(one.name), columns(one)
        if found is None:
            said = {**values, "priority": one.priority or None}
            yield Change(ADD, KEY, one.name, None, values, shown_new(said, ("name", "endpoint_classes")))
            continue
        before = {**columns(found.spec), "secret": one.secret if crypto.digest(one.secret) in found.digests else ""}
        different = different_from(values, before)
        if different and found.is_of_the_file:
            yield Change(CHANGE, KEY, one.name, found.id, different, shown(different, before))
        elif different:
            warnings.append(not_ours(KEY, one.name, different))
