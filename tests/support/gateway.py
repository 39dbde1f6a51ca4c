"""A whole gateway under test: `manage.py serve` on a free port, with a data directory and a database of its own.

    with Gateway(HOSTED_VLLM_API_BASE=upstream.url) as gateway:
        secret = gateway.make_key(models=["tiny"])
        response = gateway.call("GET", "/vllm/health", key=secret)
        row = gateway.row(response)

Only its public face and its database are used; what it prints is in `output`.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.plugin import DATA_DIR
from tests.support import databases
from tests.support.databases import Row
from tests.support.http_client import HttpClient, Response, call
from tests.support.patience import PATIENCE, wait_for
from tests.support.ports import unused_port
from tests.support.wire import PeerClosed

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 90.0  # on a busy machine; 2 to 4 otherwise
STOP_SECONDS = 45.0
MASTER_KEY = "sk-master-for-the-tests-only-0123456789"
_SECRETS = {
    "SECRET_KEY": "tests-only-secret-key-that-is-long-enough-for-django-to-like-it",
    "GATEWAY_ENCRYPTION_KEYS": "dGVzdHMtb25seS1lbmNyeXB0aW9uLWtleS0zMmJ5dGU=",
    "GATEWAY_MASTER_KEY": MASTER_KEY,
}
Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Pids:
    """The processes of a running gateway; 0 and () for a plane that does not run."""

    supervisor: int
    relay_master: int
    relay_workers: tuple[int, ...]
    control_master: int
    control_workers: tuple[int, ...]

    @property
    def relay(self) -> int:
        """The (only) relay worker."""
        return self.relay_workers[0]

    def all(self) -> list[int]:
        """Every process, parents first."""
        masters = [pid for pid in (self.supervisor, self.relay_master, self.control_master) if pid]
        return [*masters, *self.relay_workers, *self.control_workers]


class Gateway:
    """A context manager that starts on entry and stops on exit. `environment` adds settings, None removes one.

    `planes` is what follows `manage.py serve`; `data_dir` and `database` (a PostgreSQL URL) can be another
    gateway's, to start a second time or as a second node. By default the database is of the kind that the suite
    runs on, with its tables unless the directory is given too; "" means SQLite.
    """

    def __init__(
        self,
        *,
        planes: Sequence[str] = (),
        data_dir: Path | None = None,
        database: str | None = None,
        port: int | None = None,
        **environment: str | None,
    ) -> None:
        self.port = port or unused_port()
        self.master_key = environment.get("GATEWAY_MASTER_KEY") or MASTER_KEY
        self._own_directory = data_dir is None
        self.data_dir = data_dir or Path(tempfile.mkdtemp(prefix="vgw-gateway-"))
        if database is not None:
            self.database_url = database
        elif self._own_directory:
            self.database_url = _migrated_database(self.data_dir)
        else:
            self.database_url = databases.new_database() if databases.on_postgresql() else ""
        self._planes = list(planes)
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._output = self.data_dir / "output"

    # --- Life ----------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self.start()
            self.wait_until_ready()
        except BaseException:
            self.discard()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self.discard()

    def environment(self) -> dict[str, str]:
        """What the process gets: nothing of the suite's own settings."""
        ours = ("GATEWAY_", "HOSTED_VLLM_", "VLLM_", "LITELLM_", "DJANGO_", "DATABASE_", "REDIS_", "SECRET_KEY")
        wanted: dict[str, str | None] = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
        wanted |= _SECRETS | {
            "DJANGO_SETTINGS_MODULE": "gateway.settings",
            "GATEWAY_DATA_DIR": str(self.data_dir),
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "DATABASE_URL": self.database_url,
            "PYTHONUNBUFFERED": "1",
        }
        wanted |= self._environment
        return {name: text for name, text in wanted.items() if text is not None}

    def start(self) -> None:
        """Starts the process and returns at once."""
        command = [sys.executable, str(ROOT / "manage.py"), "serve", *self._planes]
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def wait_until_ready(self) -> None:
        """Until calls are taken. AssertionError, with what was printed, when the process ends before."""

        def ready() -> bool:
            assert self.status() is None, f"ended with status {self.status()}:\n{self.output}"
            with contextlib.suppress(OSError, PeerClosed, AssertionError):
                return bool(self.ready()["status"] in {"healthy", "degraded"} and self._pages_are_there())
            return False

        try:
            wait_for(ready, START_SECONDS, every=0.05)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output}") from None

    def _pages_are_there(self) -> bool:
        return "--relay" in self._planes or call(self.port, "GET", "/admin/login/").status == 200

    def run_to_end(self, timeout: float = START_SECONDS) -> int:
        """For a start that is to fail: starts, waits for the end, and returns the exit status."""
        try:
            self.start()
            return self.wait_for_exit(timeout)
        finally:
            self.discard()

    def wait_for_exit(self, timeout: float = STOP_SECONDS) -> int:
        """The exit status, waiting for it."""
        assert self._process is not None
        return self._process.wait(timeout)

    def status(self) -> int | None:
        """The exit status; None while it runs."""
        assert self._process is not None
        return self._process.poll()

    def terminate(self) -> None:
        """SIGTERM to the supervisor, without waiting."""
        assert self._process is not None
        self._process.terminate()

    def stop(self) -> int:
        """SIGTERM, and the exit status in the end. Harmless twice."""
        if self._process is None:
            return 0
        if self.status() is None:
            self.terminate()
        return self.wait_for_exit()

    def kill(self) -> None:
        """SIGKILL to every process at once, as when the machine loses its power."""
        for pid in (pids := self.pids().all()):
            _signal(pid, signal.SIGSTOP)  # so that none sees another die
        for pid in pids:
            _signal(pid, signal.SIGKILL)
        self.wait_for_exit()
        wait_for(lambda: not any(map(is_alive, pids)))

    def discard(self) -> None:
        """Kills what still runs and removes a data directory of its own. Harmless twice."""
        if self._process is not None and self.status() is None:
            self.kill()
        if self._own_directory:
            self._last_output = self.output
            shutil.rmtree(self.data_dir, ignore_errors=True)

    # --- What there is -------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The public base URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """Everything that was printed."""
        with contextlib.suppress(OSError):
            return self._output.read_text()
        return self._last_output

    _last_output = ""

    def pids(self) -> Pids:
        """The processes as they are now."""
        assert self._process is not None
        supervisor = self._process.pid
        masters = {_plane_of(pid): pid for pid in _children(supervisor)}
        relay, control = masters.get("relay", 0), masters.get("control", 0)
        return Pids(supervisor, relay, _children(relay), control, _children(control))

    def ready(self) -> dict[str, Any]:
        """The detail of /readyz."""
        detail: dict[str, Any] = call(self.port, "GET", "/readyz").json()
        return detail

    # --- Calls ---------------------------------------------------------------------------------------------

    def headers(self, key: str | None = None) -> list[tuple[str, str]]:
        """The header with this key (default: the master key)."""
        return [("authorization", f"Bearer {key or self.master_key}")]

    def connect(self, **options: Any) -> HttpClient:
        """A raw connection; options as HttpClient's."""
        return HttpClient(self.port, **options)

    def call(
        self,
        method: str,
        target: str,
        headers: Headers = (),
        body: bytes | Sequence[bytes] = b"",
        *,
        key: str | None = None,
        timeout: float = PATIENCE,
    ) -> Response:
        """One request with a key (default: the master key) on a connection of its own."""
        return call(self.port, method, target, [*self.headers(key), *headers], body, timeout=timeout)

    def post(self, target: str, obj: Any, headers: Headers = (), *, key: str | None = None) -> Response:
        """One POST of JSON."""
        sent = [("content-type", "application/json"), *headers]
        return self.call("POST", target, sent, json.dumps(obj).encode(), key=key)

    def key_api(self, verb: str, **fields: Any) -> Any:
        """`POST /key/<verb>` with the master key; the answer's JSON. AssertionError when it is refused."""
        response = self.post(f"/key/{verb}", fields)
        assert response.status == 200, response.body
        return response.json()

    def make_key(self, **fields: Any) -> str:
        """A new virtual key through the key API."""
        return str(self.key_api("generate", **fields)["key"])

    # --- The account ---------------------------------------------------------------------------------------

    @property
    def database(self) -> str | Path:
        """What `databases.query` takes."""
        return self.database_url or self.data_dir / "db.sqlite3"

    def query(self, statement: str, *values: Any) -> list[Row]:
        """Rows of the gateway's database; placeholders are `?`."""
        return databases.query(self.database, statement, values)

    def rows(self, condition: str = "1 = 1", *values: Any) -> list[Row]:
        """The request log, once no call is open and the journal is drained."""
        wait_for(self._is_recorded)
        return self._select(condition, *values)

    def recorded(self) -> list[Row]:
        """The request log as it is now."""
        return self._select("1 = 1")

    def row(self, call: Response | str) -> Row:
        """The one row of a call, by its response or its request id; waits for it."""
        request_id = call if isinstance(call, str) else call.header("x-request-id")
        rows = wait_for(lambda: self._select("request_id = ?", request_id))
        assert len(rows) == 1
        return rows[0]

    def _select(self, condition: str, *values: Any) -> list[Row]:
        return self.query(f"SELECT * FROM gateway_requestlog WHERE {condition} ORDER BY received_at", *values)

    def _is_recorded(self) -> bool:
        detail = self.ready()
        return detail["open_calls"] == 0 and detail["journal"]["backlog_bytes"] == 0

    def shell(self, code: str) -> str:
        """Runs Python in `manage.py shell` with this gateway's settings; returns what it printed."""
        return self.manage("shell", "-v", "0", "-c", code)

    def manage(self, *arguments: str) -> str:
        """Runs `manage.py` with this gateway's settings; returns what it printed."""
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


def _migrated_database(data_dir: Path) -> str:
    """The URL of a new PostgreSQL database in which the tables are; or "", and such a SQLite file in the directory."""
    template = _template()
    if isinstance(template, str):
        return databases.new_database(like=template)
    shutil.copy(template, data_dir)
    return ""


@functools.cache
def _template() -> str | Path:
    """A database that is only copied: to make the tables costs each gateway a second."""
    directory = DATA_DIR / "template"
    directory.mkdir()
    database = databases.new_database() if databases.on_postgresql() else ""
    Gateway(data_dir=directory, database=database).manage("migrate", "-v", "0")
    return database or directory / "db.sqlite3"


def is_alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    return _stat(pid)[:1] not in ([], ["Z"], ["X"])


def cpu_seconds(pid: int) -> float:
    """The CPU time that the process has used."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """The process's resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_sockets(pid: int) -> int:
    """How many sockets the process holds."""
    count = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            count += str(entry.readlink()).startswith("socket:")
    return count


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _children(pid: int) -> tuple[int, ...]:
    if not pid:
        return ()
    pids: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            pids |= set(map(int, task.read_text().split()))
    return tuple(sorted(filter(is_alive, pids)))


def _plane_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        return "relay" if "gunicorn_relay" in command else "control" if "gunicorn_control" in command else ""
    return ""


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def port_of(url: str) -> int:
    """The port in a URL."""
    port = urlsplit(url).port
    assert port is not None
    return port
