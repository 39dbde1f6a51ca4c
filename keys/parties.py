"""Teams, owners and end users in memory, as parties to calls. Follows the version of the keys' registry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from keys import limit_values
from keys.identity import Party
from keys.limit_values import limits_of
from keys.models import EndUser, Group, Owner, Team
from keys.sharing import parsed, shared

CHUNK_ROWS = 500

_TABLES: tuple[tuple[type[Group], str], ...] = ((Team, "team_id"), (Owner, "user_id"), (EndUser, "end_user_id"))
_COLUMNS = ("pk", "alias", "models", "metadata", "blocked", "spend_epoch", *limit_values.COLUMNS)
JSON_COLUMNS = (
    *("models", "metadata", "model_rpm_limit", "model_tpm_limit"),
    *("budget_limits", "model_max_budget", "shadow_limits"),
)
"""Read as texts: parsing 100,000 times what is the same in most rows takes seconds."""

# A damaged row allows nothing.
_NO_MODELS = ("",)


class Parties:
    """All groups by kind and id. Readers take no lock: each look is one step in a dictionary."""

    def __init__(self) -> None:
        self._found: dict[str, Party] = {}
        self._scopes: dict[tuple[str, int], str] = {}

    def __len__(self) -> int:
        return len(self._found)

    def find(self, kind: str, ident: str) -> Party | None:
        """The party of this kind (`team`, `user` or `end_user`); None where nobody has said anything of it."""
        return self._found.get(f"{kind}:{ident}")

    def reload(self) -> frozenset[str]:
        """Reads all of them. Returns the scopes of those that are blocked now and were not."""
        before = self._found
        found: dict[str, Party] = {}
        scopes: dict[tuple[str, int], str] = {}
        for table, column in _TABLES:
            for pk, party in _read(table, column, table._default_manager.all()):
                found[party.scope] = party
                scopes[table.kind, pk] = party.scope
        self._found, self._scopes = found, scopes
        return _newly_blocked(before, found.values())

    def follow(self, version: int) -> frozenset[str]:
        """Reads what has changed after the version. Returns as `reload`."""
        blocked: set[str] = set()
        for table, column in _TABLES:
            gone = table.tombstone._default_manager.filter(version__gt=version).values_list("row_id", flat=True)
            for pk in gone:
                scope = self._scopes.pop((table.kind, pk), None)
                if scope is not None:
                    self._found.pop(scope, None)
            changed = _read(table, column, table._default_manager.newer_than(version))  # type: ignore[attr-defined]
            for pk, party in changed:
                blocked |= _newly_blocked(self._found, [party])
                self._found[party.scope] = party
                self._scopes[table.kind, pk] = party.scope
        return frozenset(blocked)


def party_of(kind: str, ident: str, row: Mapping[str, Any]) -> Party:
    """A party out of the columns of its row."""
    models, metadata = row["models"], row["metadata"]
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    return Party(
        kind=kind,
        ident=ident,
        label=row.get("alias") or ident,
        limits=limits_of(row),
        period=shared(row["budget_duration"] or ""),
        epoch=row["spend_epoch"],
        blocked=row["blocked"],
        models=shared(tuple(map(str, models))) if isinstance(models, list) else _NO_MODELS,
        tags=shared(tuple(tag for tag in tags if isinstance(tag, str))) if isinstance(tags, list) else (),
    )


def _read(table: type[Group], column: str, rows: QuerySet[Any]) -> Iterable[tuple[int, Party]]:
    texts = {f"{name}_text": Cast(name, TextField()) for name in JSON_COLUMNS}
    plain = [name for name in _COLUMNS if name not in JSON_COLUMNS]
    for row in rows.order_by().values(column, *plain, **texts).iterator(chunk_size=CHUNK_ROWS):
        yield row["pk"], party_of(table.kind, row[column], with_objects(row, JSON_COLUMNS))


def with_objects(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The row, whose columns of JSON were read as texts (`name_text`), with what these hold."""
    return {**row, **{name: parsed(row[f"{name}_text"]) for name in names}}


def _newly_blocked(before: Mapping[str, Party], now: Iterable[Party]) -> frozenset[str]:
    return frozenset(
        party.scope for party in now if party.blocked and not getattr(before.get(party.scope), "blocked", True)
    )
