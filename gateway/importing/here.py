"""What is here already of what LiteLLM has: our rows and what we remember of the last import, as plain values."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import Model
from django.utils.crypto import salted_hmac

from gateway.config.state import revealed
from gateway.importing.memory import ImportedRow
from gateway.importing.wanted import END_USER, KEY, MODEL, OWNER, TEAM, Wishes
from keys import crypto
from keys.identity import DEFAULT_ENDPOINT_CLASSES
from keys.models import EndUser, Owner, Secret, Team, VirtualKey
from upstreams.models import CONFIG, DISCOVERED, Deployment

TABLES: Mapping[str, type[Model]] = {
    TEAM: Team,
    OWNER: Owner,
    END_USER: EndUser,
    KEY: VirtualKey,
    MODEL: Deployment,
}
_IDS = {TEAM: "team_id", OWNER: "user_id", END_USER: "end_user_id"}
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Found:
    """A row of ours. `digests` are those of a key's secrets. `closed`: why nothing may be done to it, if so."""

    id: int
    row: Any = field(repr=False)
    digests: Mapping[str, datetime | None] = field(default_factory=dict, repr=False)
    closed: str = ""

    def value(self, name: str) -> Any:
        """A column's value, in the form in which values are compared."""
        if isinstance(self.row, Deployment) and name in {"url", "credential"}:
            upstream = self.row.upstream
            return fingerprint(revealed(upstream)) if name == "credential" else upstream.url
        return plain(getattr(self.row, name))


@dataclass(slots=True)
class Here:
    """Rows by LiteLLM's ids (of keys: by digest), and by what else they can be found."""

    memory: dict[tuple[str, str], ImportedRow]
    rows: dict[str, dict[str, Found]]
    keys: dict[int, Found]
    key_names: dict[str, int]
    emails: dict[str, int]
    aliases: set[tuple[str, str, str]]
    """Address, credential's fingerprint and alias of each deployment that is not only listed by its server."""
    master: str = field(repr=False, default="")


def look(wishes: Wishes) -> Here:
    """What is here of all that. Exact in a transaction that holds the locks."""
    memory = {(one.kind, one.source_id): one for one in ImportedRow.objects.filter(source=wishes.source)}
    here = Here(memory, {}, {}, {}, {}, set(), crypto.digest(settings.MASTER_KEY))
    for kind in _IDS:
        here.rows[kind] = dict(_groups(kind, wishes.ids(kind)))
    wanted_mails = [one.values.get("email") for one in wishes.rows if one.kind == OWNER]
    for batch in _batches(mail for mail in wanted_mails if mail):
        here.emails |= dict(Owner.objects.filter(email__in=batch).values_list("email", "pk"))
    _look_for_keys(here, wishes)
    _look_for_models(here)
    return here


def _groups(kind: str, ids: Iterable[str]) -> Iterator[tuple[str, Found]]:
    column, table = _IDS[kind], TABLES[kind]
    for batch in _batches(ids):
        for row in table._default_manager.filter(**{f"{column}__in": batch}):
            yield getattr(row, column), Found(row.pk, row)


def _look_for_keys(here: Here, wishes: Wishes) -> None:
    wishes_of_keys = [one for one in wishes.rows if one.kind == KEY]
    digests = {secret.digest for one in wishes_of_keys for secret in one.secrets}
    owners: dict[str, int] = {}
    for batch in _batches(digests):
        owners |= dict(Secret.objects.filter(digest__in=batch).values_list("digest", "key_id"))
    for batch in _batches(str(one.values["name"]) for one in wishes_of_keys if one.values["name"]):
        here.key_names |= dict(VirtualKey.objects.filter(name__in=batch).values_list("name", "pk"))
    remembered = {one.row_id for (kind, _), one in here.memory.items() if kind == KEY}
    for batch in _batches({*owners.values(), *here.key_names.values(), *remembered}):
        for row in VirtualKey.objects.filter(pk__in=batch).prefetch_related("secrets"):
            secrets = {secret.digest: secret.expires_at for secret in row.secrets.all()}
            here.keys[row.pk] = Found(row.pk, row, secrets, _closed(row))
    here.rows[KEY] = {digest: here.keys[pk] for digest, pk in owners.items() if pk in here.keys}


def _closed(row: VirtualKey) -> str:
    """A key with more rights than any of LiteLLM's gets no secret from there: aliases are for anybody to choose."""
    has_more = set(row.endpoint_classes) - set(DEFAULT_ENDPOINT_CLASSES) or row.allowed_upstreams
    return "may do more than a key of LiteLLM" if row.is_management or has_more else ""


def _look_for_models(here: Here) -> None:
    by_id: dict[str, Found] = {}
    for row in Deployment.objects.select_related("upstream").order_by("-pk"):
        if row.source == DISCOVERED:
            continue
        own = row.info.get("id") if isinstance(row.info, dict) else None
        closed = "is kept by the configuration file" if row.source == CONFIG else ""
        if isinstance(own, str):
            by_id[own] = Found(row.pk, row, closed=closed)
        here.aliases.add((row.upstream.url, fingerprint(revealed(row.upstream)), row.alias))
    here.rows[MODEL] = by_id


def plain(value: object) -> Any:
    """A value as JSON has it, so that it can be compared with one that was remembered."""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds")
    return value


def fingerprint(credential: str) -> str:
    """What tells whether a credential is still the same, and is of no use to anybody else."""
    return salted_hmac("gateway.importing", credential, algorithm="sha256").hexdigest() if credential else ""


def compared(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values in the form in which they are compared, and remembered."""
    return {name: fingerprint(value) if name == "credential" else plain(value) for name, value in values.items()}


def _batches(values: Iterable[Any]) -> Iterator[list[Any]]:
    ordered = iter(sorted(set(values)))
    while batch := list(itertools.islice(ordered, _BATCH)):
        yield batch
