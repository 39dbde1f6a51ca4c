"""A large database for measuring on: keys, teams, owners, end users, and their calls of 30 days, in PostgreSQL.

Filled by PostgreSQL itself, with nothing of ours but its tables and `benchmarks.spend_logs`' calls.
"""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from benchmarks import rollups, spend_logs

KEY_PREFIX = "sk-scale-for-measuring-only-"
MODELS, UPSTREAMS, HOLDERS, END_USERS = 40, 6, 10_000, 20_000

TEAMS = """
INSERT INTO keys_team (version, team_id, alias, models, metadata, blocked, rpm_limit, model_rpm_limit, model_tpm_limit,
    max_budget, budget_duration, budget_limits, model_max_budget, token_budget_duration, shadow_limits, spend_epoch,
    created_at, created_by, updated_at, members)
SELECT 1, 'team-' || n, 'Team ' || n, '[]', '{}', false, 100000, '{}', '{}', 1000, '30d', '[]', '{}', '', '[]', 0,
    now(), 'master key', now(), '[]'
FROM generate_series(0, %(teams)s - 1) AS n
"""
KEYS = """
INSERT INTO keys_virtualkey (id, version, name, user_id, team_id, models, metadata, endpoint_classes, aliases,
    allowed_upstreams, priority, key_type, blocked, rpm_limit, model_rpm_limit, model_tpm_limit, max_budget,
    budget_duration, budget_limits, model_max_budget, token_budget_duration, shadow_limits, spend_epoch, allowed_routes,
    allowed_ips, created_at, created_by, updated_at)
SELECT n, 1, 'key ' || n, 'owner-' || n %% %(owners)s, 'team-' || n %% %(teams)s, '["qwen-*"]', '{"tags": ["prod"]}',
    '["inference", "monitoring"]', '{}', '[]', 0, 'default', false, 600, '{}', '{}', 50, '30d', '[]', '{}', '', '[]', 0,
    '[]', '[]', now() - n * interval '1 s', 'master key', now()
FROM generate_series(1, %(keys)s) AS n
"""
OWNERS = """
INSERT INTO keys_owner (version, user_id, alias, models, metadata, blocked, model_rpm_limit, model_tpm_limit,
    budget_duration, budget_limits, model_max_budget, token_budget_duration, shadow_limits, spend_epoch, created_at,
    created_by, updated_at, role)
SELECT 1, 'owner-' || n, 'Owner ' || n, '[]', '{}', false, '{}', '{}', '', '[]', '{}', '', '[]', 0, now(),
    'master key', now(), ''
FROM generate_series(0, %(owners)s - 1) AS n
"""
PEOPLE = """
INSERT INTO keys_enduser (version, end_user_id, alias, models, metadata, blocked, model_rpm_limit, model_tpm_limit,
    budget_duration, budget_limits, model_max_budget, token_budget_duration, shadow_limits, spend_epoch, created_at,
    created_by, updated_at)
SELECT 1, 'person-' || n, '', '[]', '{}', false, '{}', '{}', '', '[]', '{}', '', '[]', 0, now(), 'master key', now()
FROM generate_series(0, %(people)s - 1) AS n
"""
SECRETS = """
INSERT INTO keys_secret (key_id, digest, prefix, last_four, created_at)
SELECT n, encode(sha256(convert_to(%(prefix)s || name, 'UTF8')), 'hex'), 'sk-', right(name, 4), now()
FROM (SELECT n, lpad(n::text, 8, '0') AS name FROM generate_series(1, %(keys)s) AS n) AS named
"""
SPENDS = """
INSERT INTO keys_spendwindow (counter, used, ends_at, updated_at)
SELECT 'key:' || n || '/usd/30d/' || %(start)s || '/0', 10000000000, %(end)s, now()
FROM generate_series(1, %(keys)s) AS n
"""


def fill(url: str, options: argparse.Namespace) -> None:
    """Makes the tables in the empty database at `url`, and so many `keys`, `teams` and `rows`. Needs Django set up."""
    from django.core.management import call_command

    from keys.durations import window

    call_command("migrate", verbosity=0)

    start, end = window("30d", time.time())
    assert end is not None
    fixed = {"keys": options.keys, "teams": options.teams, "owners": HOLDERS, "people": END_USERS,
             "prefix": KEY_PREFIX, "start": str(start)}  # fmt: skip
    with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        for statement in (TEAMS, OWNERS, PEOPLE, KEYS, SECRETS, SPENDS):
            connection.execute(statement, {**fixed, "end": datetime.fromtimestamp(end, UTC)})
        connection.execute("UPDATE keys_keysversion SET value = 1")
        _fill_calls(connection, options)
        connection.execute("VACUUM ANALYZE")


def _fill_calls(connection: psycopg.Connection[Any], options: argparse.Namespace) -> None:
    begin = datetime.now(UTC) - timedelta(days=spend_logs.DAYS)
    step = spend_logs.DAYS * 86_400 / max(options.rows, 1)
    fixed = {"keys": options.keys, "models": MODELS, "upstreams": UPSTREAMS, "owners": HOLDERS,
             "teams": options.teams, "people": END_USERS}  # fmt: skip
    connection.execute("SET work_mem = '500MB'")
    connection.execute("SET maintenance_work_mem = '1GB'")
    connection.execute("SET synchronous_commit = off")
    indexes = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes"
        " WHERE tablename = 'gateway_requestlog' AND indexname LIKE 'request_log%'"
    ).fetchall()
    for name, _ in indexes:  # filled without, a table is ready sooner
        connection.execute(f'DROP INDEX "{name}"')
    for first in range(0, options.rows, spend_logs.AT_ONCE):
        last = min(first + spend_logs.AT_ONCE, options.rows) - 1
        connection.execute(spend_logs.CALLS, {**fixed, "start": begin, "step": step, "first": first, "last": last})
    for _, definition in indexes:
        connection.execute(definition)
    connection.execute("ANALYZE gateway_requestlog")
    for statement in rollups.ALL:
        connection.execute(f"{statement} ON CONFLICT DO NOTHING")
