"""Which row of the database a wanted upstream is: by its name, else by its address and credential. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.config.wanted import DeploymentSpec, UpstreamSpec

ADMIN, CONFIG, DISCOVERED = "admin", "config", "discovered"  # as upstreams.sources has them

Spec = TypeVar("Spec")


@dataclass(frozen=True, slots=True)
class Stored(Generic[Spec]):
    """A row: its id, who keeps it, and what it says."""

    id: int
    source: str
    spec: Spec


@dataclass(frozen=True, slots=True)
class StoredUpstream(Stored[UpstreamSpec]):
    """A row with its deployments."""

    deployments: tuple[Stored[DeploymentSpec], ...] = ()


def is_plain(row: Stored[DeploymentSpec]) -> bool:
    """Whether the server alone has listed this model, and nobody has said anything of it."""
    plain = DeploymentSpec(alias=row.spec.served_name, served_name=row.spec.served_name)
    return row.source == DISCOVERED and row.spec == plain


def match(wanted: Sequence[UpstreamSpec], rows: Sequence[StoredUpstream]) -> list[StoredUpstream | None]:
    """For each wanted upstream its row, or None for a new one. No row is given out twice.

    A name decides first. Then a row of the file's with this address is it, so that a new credential or a new name
    is a change and not another server. At last a row of people's: a file that names no other upstream than theirs
    adds deployments to it.
    """
    found: list[StoredUpstream | None] = [None] * len(wanted)
    taken: set[int] = set()

    def give(fits: Callable[[UpstreamSpec, StoredUpstream], bool]) -> None:
        for number, one in enumerate(wanted):
            if found[number] is None:
                row = next((row for row in rows if row.id not in taken and fits(one, row)), None)
                if row is not None:
                    found[number] = row
                    taken.add(row.id)

    give(lambda one, row: one.name == row.spec.name)
    give(lambda one, row: _is_file(row) and _same_server(one, row) and one.credential == row.spec.credential)
    give(lambda one, row: _is_file(row) and _same_server(one, row))
    give(lambda one, row: _same_server(one, row) and one.name is None and _credential_fits(one, row))
    return found


def _is_file(row: StoredUpstream) -> bool:
    return row.source == CONFIG


def _same_server(one: UpstreamSpec, row: StoredUpstream) -> bool:
    return one.url == row.spec.url


def _credential_fits(one: UpstreamSpec, row: StoredUpstream) -> bool:
    return one.credential in {"", row.spec.credential}
