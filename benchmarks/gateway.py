"""The gateway as a user starts it: `manage.py serve` on a fresh data directory, SQLite, metering and limits on."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

from benchmarks import processes

_OWN_SETTINGS = ("GATEWAY_", "HOSTED_VLLM_", "VLLM_", "LITELLM_", "DHEERA_", "DATABASE_", "REDIS_", "WEB_")
_READY_WITHIN = 30.0
_GRACE = 5.0

# The roles of the gateway's processes, in the order of the report.
RELAY, RELAY_MASTER, CONTROL, SUPERVISOR = "relay worker", "relay master", "control", "supervisor"
ROLES = (RELAY, RELAY_MASTER, CONTROL, SUPERVISOR)


class Gateway:
    """A context manager: starts the gateway in front of an upstream's port and makes a virtual key with a limit."""

    def __init__(self, upstream_port: int, *, workers: int = 1, profile: bool = False) -> None:
        self.port = _unused_port()
        self.key = ""
        self.data_dir = Path(tempfile.mkdtemp(prefix="vgw-benchmark-"))
        self.profile_dir = self.data_dir / "profile"
        self._log = self.data_dir / "serve.log"
        self._environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith(_OWN_SETTINGS)},
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "GATEWAY_DATA_DIR": str(self.data_dir),
            "HOSTED_VLLM_API_BASE": f"http://127.0.0.1:{upstream_port}",
            "WEB_CONCURRENCY": str(workers),
        }
        if profile:
            self.profile_dir.mkdir()
            sampling = str(processes.ROOT / "benchmarks" / "sampling")
            self._environment |= {"PYTHONPATH": sampling, "BENCHMARK_PROFILE_DIR": str(self.profile_dir)}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
            self._wait_until_ready()
            self.key = self._make_key()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends all its processes and removes its data directory."""
        if self._process:
            processes.end_family(self._process, _GRACE)
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def log_in(self) -> None:
        """One try with a wrong password: the admin hashes it as it would the right one.

        Each under another name, unknown to the admin: who is wrong too often under one name has to wait.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", "/admin/login/")
            response = connection.getresponse()
            token = (response.getheader("Set-Cookie") or "").partition("csrftoken=")[2].partition(";")[0]
            response.read()
            form = urlencode({"username": token_hex(8), "password": "wrong", "csrfmiddlewaretoken": token})
            headers = {"Cookie": f"csrftoken={token}", "Content-Type": "application/x-www-form-urlencoded"}
            connection.request("POST", "/admin/login/", form, headers)
            answer = connection.getresponse()
            if b"The name or the password is wrong" not in answer.read():
                raise RuntimeError(f"the log-in page answered {answer.status} and looks different")
        finally:
            connection.close()

    def roles(self) -> dict[int, str]:
        """Each process of the gateway and its role. A plane's processes carry `GATEWAY_PLANE`."""
        assert self._process
        parents = processes.family(self._process.pid)
        planes = {pid: processes.environment(pid).get("GATEWAY_PLANE", "") for pid in parents}
        return {pid: _role(planes[pid], planes.get(parent, "")) for pid, parent in parents.items()}

    def last_lines(self, count: int = 30) -> str:
        """The end of what it wrote."""
        return "Its last lines:\n" + "\n".join(self._log.read_text(errors="replace").splitlines()[-count:])

    def _start(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", "serve"],
                cwd=processes.ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is ours to handle
            )

    def _wait_until_ready(self) -> None:
        assert self._process
        deadline = time.monotonic() + _READY_WITHIN
        while not self._is_ready():
            if (status := self._process.poll()) is not None:
                raise RuntimeError(f"the gateway ended with status {status}. {self.last_lines()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"the gateway was not ready within {_READY_WITHIN:.0f} s. {self.last_lines()}")
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        try:
            return self._ask("GET", "/readyz", "", None)[0] == 200
        except OSError:
            return False

    def _make_key(self) -> str:
        master = (self.data_dir / "master_key").read_text().strip()
        wanted = {"key_alias": "benchmark", "max_parallel_requests": 100_000}
        deadline = time.monotonic() + 10
        while True:  # the control plane may come up after the relay
            status, body = self._ask("POST", "/key/generate", master, wanted)
            if status == 200:
                return str(json.loads(body)["key"])
            if status < 500 or time.monotonic() > deadline:
                raise RuntimeError(f"POST /key/generate answered {status}: {body.decode(errors='replace')[:500]}")
            time.sleep(0.1)

    def _ask(self, method: str, path: str, key: str, obj: object) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"} if key else {}
        try:
            connection.request(method, path, json.dumps(obj) if obj is not None else None, headers)
            response = connection.getresponse()
            return response.status, response.read()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()


def _role(plane: str, parents_plane: str) -> str:
    if plane == "relay":
        return RELAY if parents_plane == "relay" else RELAY_MASTER
    return CONTROL if plane else SUPERVISOR


def _unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
