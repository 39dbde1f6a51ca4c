"""How long the request log's pages take with a million rows in SQLite: `python -m benchmarks.admin_logs [rows]`.

Fills a database of its own in a temporary directory, and asks for each page as Django's test client does. Prints
the median and the slowest of ten, in milliseconds, and what it costs to export the whole log.
"""

from __future__ import annotations

import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

ROWS = 1_000_000
REPEATS = 10
LIMIT_MS = 300
DAYS = 30
KEYS, UPSTREAMS = 300, 6
MODELS = [f"model-{n:02}" for n in range(40)]
COLUMNS = (
    "call_id, request_id, received_at, head_at, first_token_at, ended_at, key_id, key_name, user_id, model,"
    " served_model, upstream_id, upstream_name, method, route, endpoint_class, status, outcome, streaming,"
    " prompt_tokens, completion_tokens, usage_source, ttft_ms, inter_token_ms, bytes_in, bytes_out,"
    " client_address, user_agent, tags, error_type, error_text, team_id, end_user, shadowed"
)
# The rarest are as rare as they get in earnest: a page of them reaches far back.
RESULTS = [
    ((200, "completed"), 930_000),
    ((400, "completed"), 30_000),
    ((429, "refused"), 20_000),
    ((403, "refused"), 10_000),
    ((200, "client_disconnected"), 8_000),
    ((502, "upstream_failed"), 1_900),
    ((504, "upstream_failed"), 80),
    ((None, "lost"), 20),
]


def main(rows: int) -> int:
    """Returns 1 when a page is slower than the limit."""
    with tempfile.TemporaryDirectory(prefix="vgw-bench-") as directory:
        os.environ.update(
            GATEWAY_DATA_DIR=directory, DJANGO_SETTINGS_MODULE="gateway.settings", GATEWAY_PLANE="control"
        )
        os.environ.pop("DATABASE_URL", None)
        import django

        django.setup()
        started = time.monotonic()
        some = fill(rows)
        print(f"{rows:,} rows in {time.monotonic() - started:.0f} s\n")
        return 1 if measure(some) else 0


def fill(rows: int) -> dict[str, Any]:
    """Makes tables, keys, upstreams and log rows; returns ids for the pages."""
    from django.core.management import call_command
    from django.db import connection

    from keys.models import VirtualKey
    from upstreams.models import Upstream

    call_command("migrate", verbosity=0)
    for number in range(KEYS):
        VirtualKey.objects.issue(name=f"key {number:03}")
    for number in range(UPSTREAMS):
        Upstream(name=f"gpu-{number}", url=f"http://gpu-{number}:8000").save()
    statement = f"INSERT INTO gateway_requestlog ({COLUMNS}) VALUES ({','.join(['?'] * 34)})"
    connection.ensure_connection()
    raw = connection.connection
    raw.execute("PRAGMA synchronous=OFF")
    raw.execute("BEGIN")
    raw.executemany(statement, made(rows))
    raw.execute(FACETS)
    raw.commit()
    middle = raw.execute("SELECT call_id, request_id FROM gateway_requestlog LIMIT 1 OFFSET ?", [rows // 2]).fetchone()
    return {"call_id": middle[0], "request_id": middle[1]}


def made(rows: int) -> Iterator[tuple[Any, ...]]:
    """Rows as SQLite stores them, oldest first."""
    chance = random.Random(1)
    results, weights = zip(*RESULTS, strict=True)
    start, step = time.time() - DAYS * 86_400, DAYS * 86_400 / rows
    for number in range(rows):
        at = start + number * step
        call_id = f"{int(at * 1000):012x}7{number % 4096:03x}8{chance.getrandbits(60):015x}"
        key = min(int(chance.expovariate(0.02)) + 1, KEYS)
        upstream = chance.randrange(UPSTREAMS) + 1
        model = chance.choice(MODELS)
        status, outcome = chance.choices(results, weights)[0]
        text = "The requested model is not available for this API key. " * 3 if (status or 0) >= 400 else None
        yield (
            *(
                call_id,
                f"req-{chance.getrandbits(64):016x}",
                stamp(at),
                stamp(at + 0.1),
                stamp(at + 0.2),
                stamp(at + 3),
            ),
            *(key, f"key {key:03}", f"owner-{key % 40}@example.com", model, model, upstream, f"gpu-{upstream}"),
            *("POST", "/v1/chat/completions", "inference", status, outcome, 1, 812, 240, "reported", 200.0, 11.5),
            *(3_000, 40_000, "192.0.2.7", "OpenAI/Python 2.3.0", tags_of(number), "some_type" if text else None, text),
            *(f"team-{key % 12}", f"user-{key % 5000}", '["rpm_limit"]' if number % 5000 == 0 else "[]"),
        )


def tags_of(number: int) -> str:
    """Every call has one tag, every hundredth a rare one besides."""
    return '["usual", "rare"]' if number % 100 == 0 else '["usual"]'


FACETS = """
    INSERT INTO gateway_requestfacet (kind, value, call_id)
    SELECT 'tag', item.value, call_id FROM gateway_requestlog, json_each(tags) AS item
    UNION ALL SELECT 'shadowed', '', call_id FROM gateway_requestlog WHERE shadowed <> '[]'
    UNION ALL SELECT 'shadowed', 'rpm_limit', call_id FROM gateway_requestlog WHERE shadowed <> '[]'
"""


def stamp(at: float) -> str:
    """A time as Django keeps it in SQLite."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1e6):06}"


def pages(some: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and query strings."""
    yield "newest", ""
    yield "older, from the middle", f"before={some['call_id']}"
    yield "newer, from the middle", f"after={some['call_id']}"
    yield "key, busy", "key=1"
    yield "key, rare", f"key={KEYS - 20}"
    yield "key, none", "key=none"
    yield "model", "model=model-07"
    yield "model, unknown", "model=nobody"
    yield "upstream", "upstream=3"
    for status in ("2", "3", "4", "5", "none"):
        yield f"status {status}", f"status={status}"
    for outcome in ("completed", "refused", "upstream_failed", "lost", "revoked"):
        yield f"outcome {outcome}", f"outcome={outcome}"
    for period in ("1h", "24h", "7d", "30d"):
        yield f"time {period}", f"period={period}"
    yield "time, a range", "since=2001-01-01T00:00&until=2038-01-01T00:00"
    yield "request id", f"q={some['request_id']}"
    yield "request id, prefix", f"q={some['request_id'][:8]}"
    yield "request id, prefix of all", "q=req-"
    yield "call id", f"q={some['call_id']}"
    yield "call id, prefix", f"q={some['call_id'][:8]}"
    for tag in ("usual", "rare", "none"):
        yield f"tag {tag}", f"tag={tag}"
    yield "tag, older, from the middle", f"tag=usual&before={some['call_id']}"
    for limit in ("any", "rpm_limit", "tpm_limit"):
        yield f"in shadow {limit}", f"shadowed={limit}"
    for ended in ("refused", "failed", "trouble"):
        yield f"ended {ended}", f"ended={ended}"
    for name in ("inference", "monitoring"):
        yield f"class {name}", f"endpoint_class={name}"
    for streams in ("yes", "no"):
        yield f"streaming {streams}", f"streaming={streams}"
    yield "route, of all", "route=/v1/chat/completions"
    yield "route, of none", "route=/v1/embeddings"
    yield "error type", "error_type=some_type"
    yield "error type, of none", "error_type=throttling_error"
    yield "team", "team=team-3"
    yield "end user", "end_user=user-7"
    yield "key name, prefix", "q=key 0"
    yield "end user, prefix", "q=user-1"
    yield "end user, prefix of none", "q=zzz"
    yield "tag and trouble", "tag=rare&ended=trouble"
    yield "key and status 5", "key=1&status=5"
    yield "model, status 4, a week", "model=model-07&status=4&period=7d"
    yield "upstream and outcome lost", "upstream=3&outcome=lost"
    yield "route and error type of none", "route=/v1/chat/completions&error_type=throttling_error"


def measure(some: dict[str, Any]) -> list[str]:
    """Prints the times; returns the names of pages over the limit."""
    from django.contrib.auth import get_user_model
    from django.test import Client
    from django.urls import reverse

    user = get_user_model()._default_manager.create(username="bench", is_staff=True, is_superuser=True)
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    base = reverse("admin:gateway_requestlog_changelist")
    asked = [(name, f"{base}?{query}") for name, query in pages(some)]
    asked.append(("one call", reverse("admin:gateway_requestlog_change", args=[some["call_id"]])))
    slow = []
    client.get(base)  # templates are compiled
    print(f"{'page':<28}{'median ms':>10}{'slowest ms':>12}")
    for name, url in asked:
        times = [one(client, url) for _ in range(REPEATS)]
        print(f"{name:<28}{statistics.median(times):>10.0f}{max(times):>12.0f}")
        if statistics.median(times) > LIMIT_MS:
            slow.append(name)
    print(f"\nover {LIMIT_MS} ms: {', '.join(slow) or 'none'}\n")
    for form in ("csv", "ndjson"):
        export(client, f"{base}export.{form}")
    return slow


def export(client: Any, url: str) -> None:
    """Prints what reading the whole file takes, and by how much the process grows."""
    before, cpu, began = peak_mb(), time.process_time(), time.perf_counter()
    size = lines = 0
    for part in client.get(url).streaming_content:
        size += len(part)
        lines += part.count(b"\n")
    took, used = time.perf_counter() - began, time.process_time() - cpu
    print(
        f"{url.rpartition('/')[2]:<16}{lines:,} lines, {size / 1e6:,.0f} MB in {took:.1f} s,"
        f" {used / lines * 1e6:.0f} µs of CPU a line; the process grew by {peak_mb() - before:.0f} MB at most"
    )


def peak_mb() -> float:
    """The most memory that the process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one(client: Any, url: str) -> float:
    """Milliseconds for one page."""
    started = time.perf_counter()
    response = client.get(url)
    assert response.status_code == 200, (url, response.status_code)
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS))
