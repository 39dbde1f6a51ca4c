"""A Redis of a test's own, on a free port with a directory of its own, which the test may kill, stop and start again.

    with RedisServer() as redis:
        counters = RedisCounters(redis.url)

Tests that need one skip where `redis-server` is not installed: `pytestmark = redis_server.needed`.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import pytest
from redis import Redis, RedisError

from tests.support.patience import PATIENCE, wait_for
from tests.support.ports import unused_port

PROGRAM = shutil.which("redis-server")

needed = pytest.mark.skipif(PROGRAM is None, reason="needs redis-server (Debian: apt-get install redis-server)")


class RedisServer:
    """A context manager. With `certificate` (a PEM file with its key) it speaks TLS only; `password` is asked for.

    It keeps nothing: started again, it is empty.
    """

    def __init__(self, *, password: str = "", certificate: Path | None = None) -> None:
        self.port = unused_port()
        self.password = password
        self._certificate = certificate
        self._directory = Path(tempfile.mkdtemp(prefix="vgw-redis-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As REDIS_URL."""
        who = f":{quote(self.password, safe='')}@" if self.password else ""
        if self._certificate is None:
            return f"redis://{who}127.0.0.1:{self.port}/0"
        return f"rediss://{who}127.0.0.1:{self.port}/0?ssl_ca_certs={self._certificate}"

    def client(self) -> Redis:
        """A client, for a look inside."""
        return Redis.from_url(self.url, decode_responses=True, socket_timeout=PATIENCE)

    def start(self) -> None:
        """Starts it and waits until it answers."""
        assert PROGRAM is not None
        self._process = subprocess.Popen(
            [PROGRAM, *self._options()],
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self._answers)

    def _options(self) -> list[str]:
        options: dict[str, Any] = {
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "no",
            "dir": self._directory,
            "port": 0 if self._certificate else self.port,
        }
        if self.password:
            options["requirepass"] = self.password
        if self._certificate:
            file = self._certificate
            options |= {"tls-port": self.port, "tls-cert-file": file, "tls-key-file": file, "tls-ca-cert-file": file}
            options["tls-auth-clients"] = "no"
        return [word for name, value in options.items() for word in (f"--{name}", str(value))]

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "redis-server ended at once"
        client = self.client()
        try:
            return bool(client.ping())
        except (RedisError, OSError):
            return False
        finally:
            client.close()

    def kill(self) -> None:
        """SIGKILL: what it counted is gone. Harmless twice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It keeps its connections, and answers no more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on where it was frozen."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)
