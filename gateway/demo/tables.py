"""Writes the demo's servers, models, teams, owners, end users and keys, and gives them ages that fit its calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from gateway.account.bulk_insert import BulkInsert
from gateway.demo import cast
from keys import crypto
from keys.identity import Party
from keys.models import EndUser, Owner, Secret, Team, VirtualKey
from keys.parties import party_of
from upstreams.models import DISABLED, HEALTHY, UNHEALTHY, Deployment, HealthChange, LoadSample, PricePeriod, Upstream
from upstreams.pricing import Prices

NOWHERE = "http://127.0.0.1:1"
"""Where nothing answers: no server of anybody's is ever asked."""
_MILLION = Decimal(1_000_000)
_SAMPLES = ((timedelta(hours=24), 120), (timedelta(days=7), 900))
"""How densely load is sampled: seconds between two, for so long."""
_SAMPLES_AT_ONCE = 5_000  # of 5 parameters each; SQLite takes 32,766 in one statement
_INSERT_SAMPLES = BulkInsert(
    LoadSample, ["upstream_id", "at", "running", "waiting", "kv_cache_use"], "ON CONFLICT DO NOTHING"
)


@dataclass(frozen=True)
class Served:
    """A server as it was written, and what its model costs."""

    server: cast.Server
    row: Upstream
    prices: Prices | None


@dataclass(frozen=True)
class Held:
    """A key as it was written: its newest secret's id, and whose limits its calls count against."""

    key: cast.Key
    row: VirtualKey
    secret_id: int
    plain: str


# --- Servers -------------------------------------------------------------------------------------------------------


def write_servers(urls: Sequence[str], now: datetime, start: datetime, chance: Random) -> list[Served]:
    """Upstreams with a deployment each, seen healthy now. `urls`: where they are; the rest lead nowhere."""
    found = []
    for number, server in enumerate(cast.SERVERS):
        url = urls[number % len(urls)] if urls and server.state != DISABLED else f"{NOWHERE}/{server.name}"
        model = cast.MODELS[server.model]
        row = Upstream(
            name=server.name,
            url=url,
            state=server.state,
            price_per_hour=server.price_per_hour,
            max_parallel=server.max_parallel,
        )
        row.save()
        deployment = Deployment(upstream=row, alias=model.alias, served_name=model.served, **_prices(model))
        deployment.weight = server.share
        deployment.save()
        _age(row, server, model, now, start, chance)
        found.append(Served(server, row, Prices.of(deployment)))
    return found


def _prices(model: cast.Model) -> dict[str, Decimal]:
    columns = {
        "input_cost_per_token": model.prompt_price,
        "output_cost_per_token": model.completion_price,
        "cache_read_input_token_cost": model.cached_price,
    }
    return {name: Decimal(price) / _MILLION for name, price in columns.items() if price is not None}


def _age(row: Upstream, server: cast.Server, model: cast.Model, now: datetime, start: datetime, chance: Random) -> None:
    """What probes would have seen of it, from the beginning on."""
    half = start + (now - start) / 2
    alive = not server.replaced
    details = {"id": model.served, "max_model_len": model.max_model_len, "created": int(start.timestamp())}
    Upstream.objects.filter(pk=row.pk).update(
        created_at=start - timedelta(days=40),
        health=HEALTHY if alive else UNHEALTHY,
        health_text="" if alive else "The connection was refused.",
        checked_at=now if alive else half,
        latency_ms=round(chance.uniform(1.5, 6.0), 1) if alive else None,
        vllm_version=server.version,
        served_models=[model.served],
        served_details=[details],
    )
    PricePeriod.objects.filter(upstream_id=row.pk).update(begins_at=start - timedelta(days=40))
    if server.replaced:
        PricePeriod.objects.end([row.pk], half)
    changes = [(start - timedelta(days=40), HEALTHY, "")]
    if server.replaced:
        changes.append((half, UNHEALTHY, "The connection was refused."))
    HealthChange.objects.bulk_create(HealthChange(upstream=row, at=at, health=how, text=text)
                                     for at, how, text in changes)  # fmt: skip
    if alive:
        _write_load(row, server, max(start, now - _SAMPLES[-1][0]), now, chance)


def _write_load(row: Upstream, server: cast.Server, start: datetime, now: datetime, chance: Random) -> None:
    samples, moment = [], start
    while moment <= now:
        step = next(seconds for span, seconds in _SAMPLES if now - moment <= span)
        at = datetime.fromtimestamp(moment.timestamp() // 30 * 30, now.tzinfo)
        level = busy_at(at, cast.ALWAYS) * 9 * server.share
        running = max(0, round(chance.gauss(level, level / 4 + 0.5)))
        waiting = max(0, round(chance.gauss(running - 24, 2)))
        use = min(0.97, max(0.01, running * 0.022 + chance.gauss(0.02, 0.01)))
        samples.append((row.pk, at, running, waiting, round(use, 3)))
        moment += timedelta(seconds=step)
    for first in range(0, len(samples), _SAMPLES_AT_ONCE):
        _INSERT_SAMPLES.execute(samples[first : first + _SAMPLES_AT_ONCE])
    _, _, running, waiting, use = samples[-1]
    Upstream.objects.filter(pk=row.pk).update_quietly(running=running, waiting=waiting, kv_cache_use=use, load_at=now)


def busy_at(at: datetime, rhythm: str) -> float:
    """How much is called for at this moment, 0 to 1."""
    hour = at.hour + at.minute / 60
    if rhythm == cast.NIGHT:
        return 1.0 if 1 <= hour < 5 else 0.01
    by_day = max(0.0, 1 - ((hour - 13.5) / 7.5) ** 2) * (0.25 if at.weekday() >= 5 else 1.0)
    return 0.25 + 0.75 * by_day if rhythm == cast.ALWAYS else 0.01 + 0.99 * by_day


# --- Holders and keys ----------------------------------------------------------------------------------------------


def write_holders(now: datetime) -> None:
    """Teams, owners and end users."""
    long_ago = now - timedelta(days=200)
    common: dict[str, Any] = {"created_by": "demo", "created_at": long_ago}
    Team.objects.bulk_create(
        Team(team_id=ident, alias=alias, members=_members(ident), **_columns(limits), **common)
        for ident, alias, limits in cast.TEAMS
    )
    Owner.objects.bulk_create(
        Owner(user_id=ident, alias=alias, email=f"{ident}@example.com", **common) for ident, alias in cast.OWNERS
    )
    EndUser.objects.bulk_create(
        EndUser(end_user_id=ident, alias=alias, **limits, **common) for ident, alias, limits in cast.END_USERS
    )


def _members(team: str) -> list[str]:
    return sorted({key.owner for key in cast.KEYS if key.team == team})


def _columns(limits: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in limits.items() if name != "near"}


def write_keys(now: datetime) -> list[Held]:
    """The keys, each with a secret of its own that nobody can guess."""
    found = []
    for key in cast.KEYS:
        born = now + timedelta(days=max(key.begins, -120.0))
        row, plain = VirtualKey.objects.issue(
            name=key.name,
            team_id=key.team,
            user_id=key.owner,
            created_by="demo",
            created_at=born,
            blocked=key.blocked is not None,
            expires_at=None if key.expires is None else now + timedelta(days=key.expires),
            metadata={"tags": list(key.tags)} if key.tags else {},
            **key.limits,
        )
        Secret.objects.filter(key=row).update(created_at=born)
        if key.rotated is not None:
            plain = _rotate(row, now + timedelta(days=key.rotated), now)
        found.append(Held(key, row, max(row.secrets.values_list("pk", flat=True)), plain))
    return found


def _rotate(row: VirtualKey, at: datetime, now: datetime) -> str:
    """A new secret, while the old one is still accepted for two days."""
    plain = crypto.generate()
    row.secrets.update(expires_at=now + timedelta(days=2), last_used_at=now - timedelta(hours=3))
    secret = row.add_secret(plain)
    Secret.objects.filter(pk=secret.pk).update(created_at=at)
    return plain


def known_parties() -> dict[tuple[str, str], Party]:
    """All teams, owners, end users and keys, as calls count against them."""
    found: dict[tuple[str, str], Party] = {}
    tables: tuple[tuple[Any, str, str], ...] = (
        (Team, "team", "team_id"),
        (Owner, "user", "user_id"),
        (EndUser, "end_user", "end_user_id"),
    )
    for table, kind, column in tables:
        for row in table.objects.values():
            found[kind, row[column]] = party_of(kind, row[column], row)
    for row in VirtualKey.objects.values():
        found["key", str(row["id"])] = party_of("key", str(row["id"]), {**row, "alias": row["name"]})
    return found
