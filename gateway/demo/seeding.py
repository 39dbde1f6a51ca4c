"""Makes the whole demo: writes who and what there is, records the calls with the recorder's own code, and sets the
budgets so that some are nearly spent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from itertools import islice
from random import Random
from typing import Any

from common.money import dollars
from gateway.account.entry import Entry
from gateway.account.log_store import MOST_ROWS_AT_ONCE, LogStore
from gateway.demo import cast, tables
from gateway.demo.endings import over_budget
from gateway.demo.traffic import Parties, Traffic
from gateway.models import RequestLog
from keys.errors import BudgetExceeded
from keys.identity import Party
from keys.limits import spend_counter
from keys.models import Secret, SpendWindow, Team, VirtualKey


@dataclass(frozen=True)
class Made:
    """What was made. `secrets`: the plain secret of each key, by its name; they are kept nowhere."""

    calls: int
    servers: int
    secrets: dict[str, str]


def seed(
    *,
    now: datetime,
    days: int = 30,
    calls: int = 60_000,
    number: int = 1,
    urls: Sequence[str] = (),
    progress: Callable[[int], None] = lambda _: None,
) -> Made:
    """Fills the database with `days` days of about `calls` calls up to `now`. The same number, moment and size give the
    same rows but for the keys' secrets. Raises what the database raises."""
    chance = Random(number)  # noqa: S311 - nothing here is a secret
    start = now - timedelta(days=days)
    servers = tables.write_servers(urls, now, start, chance)
    tables.write_holders(now)
    held = tables.write_keys(now)
    parties = tables.known_parties()
    entries = Traffic(held, servers, parties, chance).calls(start, now, calls)
    stored = _record(entries, progress)
    _set_budgets(parties, now)
    return Made(stored, len(servers), {one.key.name: one.plain for one in held})


def _record(entries: Iterable[Entry], progress: Callable[[int], None]) -> int:
    """Stores the entries as the recorder does: rows, roll-ups and spend in one transaction for each batch."""
    store, rest, stored = LogStore(), iter(entries), 0
    used: dict[tuple[int, int], float] = {}
    while batch := list(islice(rest, MOST_ROWS_AT_ONCE)):
        new = store.store(batch, _fail)
        used |= {(entry["key_id"], entry["secret_id"]): entry["received_at"] for entry in new}
        stored += len(new)
        progress(stored)
    for (key_id, secret_id), at in used.items():
        VirtualKey.objects.touch([key_id], datetime.fromtimestamp(at, UTC))
        Secret.objects.touch([secret_id], datetime.fromtimestamp(at, UTC))
    return stored


def _fail(entry: Entry, error: Exception) -> None:
    raise error


def _set_budgets(parties: Parties, now: datetime) -> None:
    """Gives each budget the ceiling at which as much of it is used as the cast says."""
    for key in cast.KEYS:
        if key.near is not None:
            row = VirtualKey.objects.get(name=key.name)
            assumed = row.max_budget
            _set_budget(row, parties["key", str(row.pk)], key.near, now)
            if assumed is not None:
                _retell(row, assumed)
    for ident, _, limits in cast.TEAMS:
        if "near" in limits:
            _set_budget(Team.objects.get(team_id=ident), parties["team", ident], limits["near"], now)


def _retell(key: VirtualKey, assumed: Decimal) -> None:
    """Lets the key's calls, which were made under the assumed ceiling, tell of the one that the key has now."""
    ceiling = key.max_budget or assumed
    changed = []
    for call in RequestLog.objects.filter(key_id=key.pk):
        if call.decisions and "limits" in call.decisions:
            call.decisions["limits"] = [_at_ceiling(row, ceiling / assumed) for row in call.decisions["limits"]]
            if call.error_type == BudgetExceeded.type:
                call.error_text = over_budget(call.key_name, ceiling)
            changed.append(call)
    RequestLog.objects.bulk_update(changed, ["decisions", "error_text"], batch_size=MOST_ROWS_AT_ONCE)


def _at_ceiling(row: Sequence[Any], times: Decimal) -> list[Any]:
    """The row of a limit (`gateway.demo.noting`), so many times as high if it is the key's budget."""
    kind, name, model, unit, ceiling, used, taken, *rest = row
    if (kind, name) != ("key", "max_budget"):
        return list(row)
    ceiling, used = int(ceiling * times), None if used is None else int(used * times)
    return [kind, name, model, unit, ceiling, used, min(taken, ceiling), *rest]


def _set_budget(row: Any, party: Party, near: float, now: datetime) -> None:
    counter, _ = spend_counter(party, now.timestamp())
    used = SpendWindow.objects.filter(counter=counter).values_list("used", flat=True).first() or 0
    row.max_budget = max(Decimal("0.01"), (dollars(used) / Decimal(str(near))).quantize(Decimal("0.01"), ROUND_DOWN))
    row.save(update_fields=["max_budget"])
