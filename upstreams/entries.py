"""One upstream and its deployments as values, and which of them can take a call now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from upstreams.errors import CredentialUnreadable, NoUpstream
from upstreams.models import ACTIVE, Deployment, Upstream
from upstreams.pricing import Prices
from upstreams.selection import Candidate, Target, Timeouts


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model as `GET /v1/models` lists it. `created` in unix seconds; `parent` is the base model of a LoRA."""

    alias: str
    created: int
    root: str | None = None
    parent: str | None = None
    max_model_len: int | None = None
    upstreams: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One upstream as the database had it. `target` is None when its credential cannot be decrypted."""

    name: str
    target: Target | None
    active: bool
    is_default: bool
    created_at: datetime | None = None
    served_models: tuple[str, ...] = ()
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    deployments: tuple[Deployment, ...] = ()

    @classmethod
    def of(cls, row: Upstream) -> Entry:
        """The row, read with its deployments."""
        timeouts = Timeouts(row.connect_timeout, row.first_byte_timeout, row.idle_timeout, row.total_timeout)
        try:
            target = Target(row.pk, row.name, row.url, row.credential.reveal(), row.max_parallel, timeouts)
        except CredentialUnreadable:
            target = None
        details = [one for one in row.served_details if isinstance(one, dict)]
        return cls(
            name=row.name,
            target=target,
            active=row.state == ACTIVE,
            is_default=row.is_default,
            created_at=row.created_at,
            served_models=tuple(row.served_models),
            details={str(one.get("id")): one for one in details},
            deployments=tuple(row.deployments.all()),
        )


@dataclass(frozen=True, slots=True)
class Place:
    """A deployment on its upstream."""

    entry: Entry
    alias: str
    served_name: str
    weight: int
    prices: Prices | None = None

    @property
    def is_listed(self) -> bool:
        """Whether the server has the model, as far as it has said."""
        return not self.entry.served_models or self.served_name in self.entry.served_models

    def candidate(self, asked: str) -> Candidate | None:
        """Where a call that asks for this name would go; None while the upstream's credential is unreadable."""
        if self.entry.target is None:
            return None
        served = None if self.served_name == asked else self.served_name
        return Candidate(self.entry.target, served, self.alias, self.weight, self.prices, self.max_model_len)

    @property
    def max_model_len(self) -> int | None:
        """How long a prompt and its completion may be together, as the server says."""
        return _whole(self.entry.details.get(self.served_name, {}).get("max_model_len"))


def served(name: str, places: Sequence[Place]) -> ServedModel:
    details = next((place.entry.details.get(place.served_name) for place in places if place.is_listed), None) or {}
    created = places[0].entry.created_at
    lengths = [place.max_model_len for place in places]
    return ServedModel(
        alias=name,
        created=_whole(details.get("created")) or (int(created.timestamp()) if created else 0),
        root=_text(details.get("root")),
        parent=_text(details.get("parent")),
        max_model_len=min((length for length in lengths if length), default=None),
        upstreams=tuple(place.entry.name for place in places),
    )


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def first_model(entry: Entry | None) -> str | None:
    """The model that an upstream's vLLM takes when a call names none; None when that is not known."""
    if entry is None:
        return None
    if entry.served_models:
        return entry.served_models[0]
    return entry.deployments[0].served_name if len(entry.deployments) == 1 else None


def usable_alone(entry: Entry) -> list[Candidate]:
    """The upstream, for a call with any model. Raises NoUpstream, CredentialUnreadable."""
    if not entry.active:
        raise NoUpstream("The upstream takes no calls now: it is draining or disabled.")
    if entry.target is None:
        raise CredentialUnreadable
    return [candidate_alone(entry, entry.target)]


def candidate_alone(entry: Entry, target: Target) -> Candidate:
    """The upstream for a call that goes there whatever its model is; priced as the model that vLLM would take."""
    served = first_model(entry)
    named = [one for one in entry.deployments if (one.served_name or one.alias) == served]
    return Candidate(
        target,
        prices=next((prices for one in named if (prices := Prices.of(one)) is not None), None),
        max_model_len=_whole(entry.details.get(served or "", {}).get("max_model_len")),
    )


def usable(places: Iterable[Place], model: str) -> list[Candidate]:
    """Where a call that asks for this name can go now. Raises NoUpstream, CredentialUnreadable."""
    active = [place for place in places if place.entry.active]
    readable = [(place, candidate) for place in active if (candidate := place.candidate(model)) is not None]
    listed = [candidate for place, candidate in readable if place.is_listed]
    found = listed or [candidate for _, candidate in readable]
    if found:
        return _one_each(found)
    if active:
        raise CredentialUnreadable
    raise NoUpstream("The upstream for this model takes no calls now: it is draining or disabled.")


def _one_each(found: list[Candidate]) -> list[Candidate]:
    """One candidate for each server: two rows may lead to one, which a call must not try twice."""
    if len(found) == 1:
        return found
    servers: dict[str, Candidate] = {}
    for one in found:
        servers.setdefault(one.upstream.base_url, one)
    return list(servers.values())
