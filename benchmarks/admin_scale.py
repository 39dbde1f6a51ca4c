"""The admin's pages on a large PostgreSQL: how long they take, how many queries they make, and what an export costs.

Part of `python -m benchmarks.scale`. Times are those of whole pages, asked for at the gateway's public port by somebody
who sees everything; queries are counted here, by Django's test client. Knows nothing of how the database was filled.
"""

from __future__ import annotations

import http.client
import statistics
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from benchmarks import processes

REPEATS = 7
PAUSE_SECONDS, LOOKS = 21.0, 3
"""After so long nothing is kept of what is looked up anew at most every 20 seconds."""
PAGE_MS, LOG_MS = 100.0, 300.0
EXPORTED_ROWS = 100_000
EXPORT_MB, EXPORT_ROWS_A_SECOND = 20.0, 10_000.0


@dataclass(frozen=True)
class AdminPage:
    """A page, and the median time in milliseconds that it may take; asked for after a `pause` of so many seconds."""

    name: str
    path: str
    most_ms: float = PAGE_MS
    pause: float = 0.0


def measure(port: int, control: Collection[int]) -> bool:
    """Prints each page's times and goal; `control` are the pids of the processes that make the pages.

    Returns whether all goals were reached. Needs Django set up on the gateway's database, with the gateway's secrets.
    """
    from django.test import Client

    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(_somebody())
    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    print(f"\n{'page of the admin':<46}{'median ms':>10}{'max ms':>8}{'queries':>9}{'at most':>9}")
    good = [_page(port, cookie, client, page) for page in pages()]
    return all([*good, _export(port, cookie, control)])


def _somebody() -> Any:
    from django.contrib.auth import get_user_model

    users = get_user_model()._default_manager
    return users.filter(username="bench").first() or users.create(username="bench", is_staff=True, is_superuser=True)


def _page(port: int, cookie: str, client: Any, page: AdminPage) -> bool:
    _ask(port, cookie, page.path)  # of who watches: what is kept for a while is there
    times = sorted(_ask(port, cookie, page.path, page.pause) for _ in range(LOOKS if page.pause else REPEATS))
    median = statistics.median(times)
    verdict = "reached" if median <= page.most_ms else "MISSED"
    queries = _queries(client, page.path)
    figures = f"{median:>10.0f}{times[-1]:>8.0f}{queries:>9}{page.most_ms:>9.0f}"
    print(f"{page.name:<46}{figures}  {verdict}", flush=True)
    return median <= page.most_ms


def _queries(client: Any, path: str) -> int:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client.get(path)
    with CaptureQueriesContext(connection) as queries:
        client.get(path)
    return len(queries)


def _ask(port: int, cookie: str, path: str, pause: float = 0.0) -> float:
    """Milliseconds until the whole page is there; asks after a pause of so many seconds."""
    time.sleep(pause)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        began = time.perf_counter()
        connection.request("GET", path, headers={"Cookie": cookie})
        response = connection.getresponse()
        response.read()
        assert response.status == 200, (path, response.status)
        return (time.perf_counter() - began) * 1000
    finally:
        connection.close()


# --- Which pages ---------------------------------------------------------------------------------------------------


def pages() -> Iterator[AdminPage]:
    """All pages that are measured, of rows that are there."""
    yield from _home()
    yield from _log()
    yield from _rows()
    yield from _usage()


def _home() -> Iterator[AdminPage]:
    yield AdminPage("Home", "/admin/")
    yield AdminPage("Home, the first look after a pause", "/admin/", pause=PAUSE_SECONDS)
    for part in ("attention", "figures", "upstreams", "tops"):
        yield AdminPage(f"Home: {part}", f"/admin/home/{part}/")
    for by in ("all", "model", "key"):
        yield AdminPage(f"Home: chart, {by}", f"/admin/home/chart/?figure=tokens&by={by}")


def _log() -> Iterator[AdminPage]:
    from gateway.models import RequestLog

    newest = RequestLog.objects.newest_first()[0]
    start = newest.received_at - timedelta(days=15)
    middle = RequestLog.objects.between(end=start).newest_first()[0]
    for name, query in _log_queries(middle):
        yield AdminPage(f"log: {name}", f"/admin/gateway/requestlog/?{urlencode(query)}", LOG_MS)
    yield AdminPage("a call", f"/admin/gateway/requestlog/{middle.pk}/change/")


def _log_queries(middle: Any) -> Iterator[tuple[str, dict[str, str]]]:
    before = {"before": middle.pk.hex}
    yield "first page", {}
    yield "deep, older than a call", before
    yield "deep, newer than a call", {"after": middle.pk.hex}
    yield "deep, of a tag", {"tag": "prod", **before}
    yield "deep, of a team", {"team": "team-7", **before}
    for period in ("15m", "1h", "24h", "7d", "30d"):
        yield f"time {period}", {"period": period}
    day = middle.received_at.astimezone(UTC)
    yield (
        "time, a day far back",
        {
            "since": f"{day - timedelta(days=1):%Y-%m-%dT%H:%M}",
            "until": f"{day:%Y-%m-%dT%H:%M}",
        },
    )
    yield "key, busy", {"key": "1"}
    yield "key, seldom used", {"key": str(middle.key_id)}
    yield "key, none", {"key": "none"}
    for name in ("model", "upstream", "team", "user", "endpoint_class"):
        value = {"model": middle.model, "upstream": "3", "team": "team-7", "user": "owner-7"}.get(name, "inference")
        yield name, {name: value}
    yield "route, that of nearly all", {"route": "/v1/chat/completions"}
    yield "route, of none", {"route": "/v1/embeddings"}
    yield "error type", {"error_type": "some_type"}
    yield "error type, of none", {"error_type": "throttling_error"}
    yield "nothing: route of nearly all and error type", {"route": "/v1/chat/completions", "error_type": "abort"}
    yield "end user", {"end_user": "person-7"}
    yield "end user, seldom there", {"end_user": "person-15000"}
    for status in ("2", "3", "4", "5", "none"):
        yield f"status {status}", {"status": status}
    for ended in ("refused", "failed", "trouble"):
        yield f"ended {ended}", {"ended": ended}
    for streams in ("yes", "no"):
        yield f"streaming {streams}", {"streaming": streams}
    yield "tag", {"tag": "prod"}
    yield "tag, rare", {"tag": "rare"}
    yield "limit in shadow", {"shadowed": "any"}
    yield "outcome, rare and far back", {"outcome": "lost"}
    yield "owner and rare outcome", {"user": "owner-7", "outcome": "lost"}
    yield "model, upstream and rare outcome", {"model": middle.model, "upstream": "3", "outcome": "lost"}
    yield "tag and status 5", {"tag": "prod", "status": "5"}
    yield "tag and a seldom used key", {"tag": "prod", "key": str(middle.key_id)}
    yield "two that never meet", {"team": "team-7", "user": "owner-8"}
    yield "nothing: an outcome that never was", {"outcome": "revoked"}
    yield "nothing: class and model", {"endpoint_class": "monitoring", "model": middle.model}
    yield "search: request id", {"q": middle.request_id}
    yield "search: request ids that begin alike", {"q": middle.request_id[:8]}
    yield "search: all request ids", {"q": "req-"}
    yield "search: call id", {"q": middle.pk.hex}
    yield "search: call ids that begin alike", {"q": middle.pk.hex[:8]}
    yield "search: key name", {"q": middle.key_name}
    yield "search: key names that begin alike", {"q": "key 9"}
    yield "search: end user", {"q": "person-7"}
    yield "search: nothing", {"q": "zzz"}


def _rows() -> Iterator[AdminPage]:
    """Lists of keys and parties, and pages of some of them."""
    from keys.models import EndUser, Owner, Team, VirtualKey

    for table in ("virtualkey", "team", "owner", "enduser"):
        yield AdminPage(f"list: {table}", f"/admin/keys/{table}/")
    yield AdminPage("list: upstream", "/admin/upstreams/upstream/")
    last = VirtualKey.objects.order_by("-pk").values_list("pk", flat=True)[0]
    for name, key in (("busy", 1), ("with many end users", 10), ("usual", last // 2), ("seldom used", last)):
        yield AdminPage(f"key, {name}", f"/admin/keys/virtualkey/{key}/change/")
    for model, column, value in ((Team, "team_id", "team-7"), (Owner, "user_id", "owner-7")):
        row = model._default_manager.get(**{column: value})
        yield AdminPage(f"{model._meta.model_name}", f"/admin/keys/{model._meta.model_name}/{row.pk}/change/")
    for name, person in (("busy", "person-0"), ("seldom there", "person-15000")):
        pk = EndUser._default_manager.get(end_user_id=person).pk
        yield AdminPage(f"end user, {name}", f"/admin/keys/enduser/{pk}/change/")
    yield AdminPage("upstream", "/admin/upstreams/upstream/1/change/")


def _usage() -> Iterator[AdminPage]:
    for by in ("team", "key", "owner", "end_user", "model", "upstream", "tag"):
        for step in ("day", "week", "month"):
            query = urlencode({"by": by, "range": "30d", "step": step})
            yield AdminPage(f"usage by {by.replace('_', ' ')}, 30 days, by {step}", f"/admin/usage/?{query}")
    yield AdminPage("usage by key of a team", "/admin/usage/?by=key&range=30d&team=team-7")
    month = datetime.now(UTC) - timedelta(days=15)
    yield AdminPage("statement, all teams", f"/admin/usage/statement/?month={month:%Y-%m}")
    yield AdminPage("statement, one team", f"/admin/usage/statement/?month={month:%Y-%m}&team=team-7")


# --- Export --------------------------------------------------------------------------------------------------------


def _export(port: int, cookie: str, pids: Collection[int]) -> bool:
    """Exports so many rows as CSV; watches the memory of the processes that may make them."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    before = most = _memory(pids)
    began, lines, size = time.perf_counter(), -1, 0
    connection.request(
        "GET", f"/admin/gateway/requestlog/export.csv?{_of_rows(EXPORTED_ROWS)}", headers={"Cookie": cookie}
    )
    response = connection.getresponse()
    assert response.status == 200, response.status
    while part := response.read(1_000_000):
        lines, size = lines + part.count(b"\n"), size + len(part)
        most = max(most, _memory(pids))
    took = time.perf_counter() - began
    connection.close()
    good = lines / took >= EXPORT_ROWS_A_SECOND, most - before <= EXPORT_MB
    verdicts = ["reached" if one else "MISSED" for one in good]
    print(f"\nCSV of {lines:,} calls, {size / 1e6:.0f} MB: {took:.1f} s, {lines / took:,.0f} rows/s;"
          f" at least {EXPORT_ROWS_A_SECOND:,.0f}  {verdicts[0]}")  # fmt: skip
    print(f"its memory: {before:.0f} MB before, {most:.0f} MB at most; at most {EXPORT_MB:.0f} MB more  {verdicts[1]}")
    return all(good)


def _memory(pids: Collection[int]) -> float:
    return sum(processes.memory(pid).pss for pid in pids)


def _of_rows(count: int) -> str:
    """The query of about so many of the newest rows."""
    from django.db.models import Sum

    from gateway.models import RequestLog, UsageHourTotal

    newest = RequestLog.objects.newest_first()[0].received_at
    day = UsageHourTotal.objects.filter(hour__gt=newest - timedelta(days=2), hour__lte=newest - timedelta(days=1))
    calls = day.aggregate(n=Sum("calls"))["n"] or 1
    hours = count / (calls / max(1, day.count()))
    return urlencode({"since": f"{newest - timedelta(hours=hours):%Y-%m-%dT%H:%M}"})
