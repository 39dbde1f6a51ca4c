"""What the doctor looks at: one generator of findings for each thing."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from django.conf import settings
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor

from gateway.account import relay_report
from gateway.account.journal import journal_status
from gateway.doctor import BAD, GOOD, WARNING, Finding, Look
from gateway.loose_settings import settings_look
from upstreams import checking, crypto
from upstreams.errors import CredentialUnreadable
from upstreams.models import DISABLED, EncryptionCanary, Upstream

LEAST_FREE_BYTES = 200_000_000
LOW_FREE_BYTES = 2_000_000_000
OLD_BACKLOG_SECONDS = 60.0
CLOCK_WARNING_SECONDS = 1.0
CLOCK_BAD_SECONDS = 5.0
MOST_UPSTREAMS = 200
AT_ONCE = 20
MOST_NAMES = 5


def database() -> Iterator[Finding]:
    """Whether it answers, and of which kind it is."""
    try:
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("SELECT sqlite_version()" if settings.EMBEDDED else "SHOW server_version")
            (version,) = cursor.fetchone() or ("",)
    except Error as error:
        text = f"The database does not answer ({type(error.__cause__ or error).__name__})."
        yield Finding("Database", BAD, text, "Start it, or correct DATABASE_URL. Known keys go on working meanwhile.")
        return
    if settings.EMBEDDED:
        text = f"SQLite {version} answers: the embedded database, for one machine with one relay worker."
    else:
        text = f"PostgreSQL {version.split()[0]} answers."
    yield Finding("Database", GOOD, text)


def isolation() -> Iterator[Finding]:
    """PostgreSQL's statements have to see what others have committed: counters wait for each other's rows."""
    if settings.EMBEDDED:
        return
    with connection.cursor() as cursor:
        cursor.execute("SHOW transaction_isolation")
        (level,) = cursor.fetchone() or ("",)
    if level == "read committed":
        yield Finding("Isolation level", GOOD, "Transactions are READ COMMITTED.")
        return
    remedy = "Take default_transaction_isolation from the role, the database or DATABASE_URL."
    yield Finding("Isolation level", BAD, f"Transactions are {level.upper()}; limits need READ COMMITTED.", remedy)


def migrations() -> Iterator[Finding]:
    """Whether the tables are as this version wants them."""
    executor = MigrationExecutor(connection)
    missing = [f"{one.app_label}.{one.name}" for one, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]
    if missing:
        text = f"{len(missing)} migrations are not applied: {_some(missing)}."
        yield Finding("Migrations", BAD, text, "Run `manage.py migrate`, or restart the gateway, which does it.")
        return
    yield Finding("Migrations", GOOD, "All migrations are applied.")


def redis() -> Iterator[Finding]:
    """Redis, where limits are counted in it."""
    if not settings.REDIS_URL or settings.EMBEDDED:
        return
    from redis import Redis, RedisError  # only where one is used

    try:
        Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2).ping()
    except (RedisError, OSError, ValueError) as error:
        text = f"Redis does not answer ({type(error).__name__}): limits do not hold among processes."
        yield Finding("Redis", BAD, text, "Start it, or correct REDIS_URL.")
        return
    yield Finding("Redis", GOOD, "Redis answers: limits are counted there.")


def journal() -> Iterator[Finding]:
    """Whether calls get from the journal into the database."""
    status = journal_status(settings.DATA_DIR / "journal")
    if status.lost:
        text = f"{status.lost:,} calls could not be written to the journal."
        yield Finding("Journal", BAD, text, "Make room on the disk of the data directory.")
    if status.quarantined:
        text = f"{status.quarantined:,} lines could not become rows of the request log."
        yield Finding("Journal", WARNING, text, "quarantine.jsonl in the journal says why; take it away afterwards.")
    late = time.time() - status.oldest if status.oldest is not None else 0.0
    if late > OLD_BACKLOG_SECONDS:
        text = f"{status.backlog_bytes / 1000:,.0f} kB of calls wait for the database, the oldest for {late:,.0f} s."
        yield Finding("Journal", WARNING, text, "Is the control plane running, and the database there?")
    if not status.lost and not status.quarantined and late <= OLD_BACKLOG_SECONDS:
        yield Finding("Journal", GOOD, "Every call gets from the journal into the database.")


def disk() -> Iterator[Finding]:
    """Whether the data directory can be written, and how much room there is."""
    directory: Path = settings.DATA_DIR
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"doctor")
    except OSError as error:
        text = f"Nothing can be written to {directory}: {error.strerror}."
        yield Finding("Data directory", BAD, text, "Give the gateway's user the right to write there.")
        return
    usage = shutil.disk_usage(directory)
    text = f"{usage.free / 1e9:,.1f} GB of {usage.total / 1e9:,.1f} GB are free in {directory}."
    if usage.free < LEAST_FREE_BYTES:
        yield Finding("Data directory", BAD, text, "Make room: calls that cannot be written down are lost.")
    elif usage.free < LOW_FREE_BYTES:
        yield Finding("Data directory", WARNING, text, "Make room before the journal has none.")
    else:
        yield Finding("Data directory", GOOD, text)


def clock() -> Iterator[Finding]:
    """Whether this machine and the database agree on what time it is: expiry and windows depend on it."""
    if settings.EMBEDDED:
        yield Finding("Clock", GOOD, "The database is embedded and has this machine's clock.")
        return
    before = time.time()
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
        (there,) = cursor.fetchone() or (before,)
    apart = abs(there - (before + time.time()) / 2)
    text = f"This machine's clock and the database's are {apart:,.2f} s apart."
    if apart > CLOCK_WARNING_SECONDS:
        kind = BAD if apart > CLOCK_BAD_SECONDS else WARNING
        yield Finding("Clock", kind, text, "Keep both machines in step with NTP.")
    else:
        yield Finding("Clock", GOOD, text)


def relay_workers() -> Iterator[Finding]:
    """Whether there are processes that pass calls on, and know of the last changes of keys."""
    reports = relay_report.current()
    if not reports:
        text = "No relay worker has reported in the last 5 seconds: nobody passes calls on."
        yield Finding("Relay workers", BAD, text, "Start the gateway (`manage.py serve`), or read its log.")
        return
    stopping = sum(bool(report.facts.get("draining")) for report in reports)
    nodes = len({report.node for report in reports})
    text = f"{len(reports)} relay workers on {nodes} nodes report every second."
    if len(reports) == 1:
        text = f"One relay worker, on {reports[0].node}, reports every second."
    if stopping == len(reports):
        yield Finding("Relay workers", WARNING, f"{text} All of them take no more calls.", "They are being stopped.")
    else:
        yield Finding("Relay workers", GOOD, text)


def encryption() -> Iterator[Finding]:
    """Whether the encryption keys fit what is encrypted in this database."""
    remedy = "Add the key that it was encrypted with to the end of GATEWAY_ENCRYPTION_KEYS."
    canary = EncryptionCanary.objects.filter(pk=1).first()
    if canary is not None and not _is_readable(canary.token):
        yield Finding("Encryption", BAD, "GATEWAY_ENCRYPTION_KEYS does not fit this database.", remedy)
        return
    rows = Upstream.objects.exclude(credential="").only("name", "credential")
    names = [row.name for row in rows if not _is_readable(row.credential.stored)]
    if names:
        yield Finding("Encryption", BAD, f"No key fits the credential of {_some(names)}.", remedy)
        return
    yield Finding("Encryption", GOOD, "The encryption keys fit what is stored.")


def _is_readable(stored: str) -> bool:
    try:
        crypto.decrypt(stored)
    except CredentialUnreadable:
        return False
    return True


def upstreams() -> Iterator[Finding]:
    """Asks every upstream that is not disabled for its health, several at once."""
    rows = list(Upstream.objects.exclude(state=DISABLED).order_by("name")[:MOST_UPSTREAMS])
    if not rows:
        text = f"There is no upstream yet: calls go to {settings.UPSTREAM_BASE_FALLBACK}."
        yield Finding("Upstreams", WARNING, text, "Add one in the admin.")
        return
    with ThreadPoolExecutor(AT_ONCE) as pool:
        checks = list(pool.map(lambda row: checking.pulse(row.url, row.credential), rows))
    for row, check in zip(rows, checks, strict=True):
        if check.healthy:
            yield Finding(f"Upstream {row.name}", GOOD, f"Answers in {check.latency_ms or 0:.0f} ms.")
        else:
            yield Finding(f"Upstream {row.name}", BAD, check.text, "See its page, or disable it.")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


LOOKS: tuple[tuple[str, Look, bool], ...] = (
    ("Isolation level", isolation, True),
    ("Migrations", migrations, True),
    ("Redis", redis, False),
    ("Journal", journal, False),
    ("Data directory", disk, False),
    ("Clock", clock, True),
    ("Relay workers", relay_workers, True),
    ("Encryption", encryption, True),
    ("Upstreams", upstreams, True),
    ("Settings", settings_look, False),
)
"""Name, look, and whether that needs the database."""
