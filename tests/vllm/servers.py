"""Real vLLM servers for the comparison: given by their addresses, or started one kind after the other.

    VLLM_HOME=FOLDER          a folder with `serve.sh KIND PORT` and `stop.sh KIND PORT`
    VLLM_CHAT=http://…        a server that runs already; also VLLM_TOOLS, VLLM_EMBED, VLLM_RERANK, …
    VLLM_FLEET=http://h:8300  five that run already, at ports that count up: chat, tools, embed, rerank, whisper

A server of kind K serves one tiny model under the name `tiny-K`.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pytest

from tests.support.http_client import HttpClient, Response
from tests.support.ports import unused_port

KINDS = ("chat", "tools", "embed", "rerank", "classify", "whisper", "realtime")
FLEET = ("chat", "tools", "embed", "rerank", "whisper")
HELP = (
    "make test-vllm needs real vLLM servers: set VLLM_HOME to a folder with `serve.sh KIND PORT` and"
    " `stop.sh KIND PORT`, or VLLM_CHAT, VLLM_EMBED, ... to the base URLs of servers that run already,"
    " or VLLM_FLEET to the first of five at ports that count up."
)
_START_SECONDS = 330.0
_PROFILER = {"profiler": "torch", "torch_profiler_with_stack": False}

Body = bytes | Sequence[bytes]


def address(kind: str) -> str:
    """The URL of a running server of this kind; "" when none was given."""
    return os.environ.get(f"VLLM_{kind.upper()}", "") or _in_fleet(kind)


def _in_fleet(kind: str) -> str:
    first = os.environ.get("VLLM_FLEET", "")
    if not first or kind not in FLEET:
        return ""
    url = urlsplit(first)
    return f"http://{url.hostname}:{(url.port or 80) + FLEET.index(kind)}"


def is_available(kind: str) -> bool:
    """Whether a server of this kind runs or can be started."""
    return bool(address(kind) or os.environ.get("VLLM_HOME"))


def skip_without_the_route(target: str, status: int) -> None:
    """Skips a test of a route that a server has only when it was started for it, by the status of its answer."""
    if status == 403:
        pytest.skip("this server was started without --enable-scale-out")
    if status == 501:
        pytest.skip("this server's model does not support it")
    if status == 404 and target.startswith("/cohere/"):
        pytest.skip("this server has no Cohere API: it needs VLLM_ENABLE_COHERE_API=1 and the package cohere")


class Server:
    """One vLLM server, called directly. A context manager: what it started, it stops."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.model = f"tiny-{kind}"
        self.credential = ""
        self._own = not address(kind)
        self._directory = Path(tempfile.mkdtemp(prefix="vgw-vllm-")) if self._own else Path()
        url = urlsplit(address(kind) or f"http://127.0.0.1:{unused_port()}")
        self.host, self.port = url.hostname or "", url.port or 80
        self.url = f"http://{self.host}:{self.port}"

    def __enter__(self) -> Self:
        if self._own:
            try:
                self._run("serve.sh", *self._options())
            except BaseException:
                self._stop()
                raise
        for verb in ("wake_up", "resume"):  # an interrupted run may have left it asleep
            self.post(f"/{verb}")
        return self

    def __exit__(self, *_: object) -> None:
        if self._own:
            self._stop()

    def _stop(self) -> None:
        with contextlib.suppress(AssertionError):  # it never started, or died
            self._run("stop.sh")
        shutil.rmtree(self._directory, ignore_errors=True)

    def _options(self) -> list[str]:
        """More than a default server has, so that as many routes as possible exist."""
        if self.kind == "classify":  # one kind stands for all that are behind a credential
            self.credential = f"vllm-{secrets.token_hex(8)}"
        if self.kind != "chat":
            return []
        profiler = json.dumps({**_PROFILER, "torch_profiler_dir": str(self._directory / "profile")})
        # The examples ask for 2,048 tokens, which must fit behind the prompt.
        return ["--max-model-len", "4096", "--enable-scale-out", "--profiler-config", profiler]

    def _run(self, script: str, *options: str) -> None:
        command = [str(Path(os.environ["VLLM_HOME"]) / script), self.kind, str(self.port), *options]
        environment = {**os.environ, "LOGDIR": str(self._directory), "API_KEY": self.credential}
        environment["VLLM_ENABLE_COHERE_API"] = "1"
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=_START_SECONDS
        )
        assert done.returncode == 0, done.stdout + done.stderr

    # --- Calls ---------------------------------------------------------------------------------------------

    def headers(self) -> list[tuple[str, str]]:
        """The header with the server's own credential, when it has one."""
        return [("authorization", f"Bearer {self.credential}")] if self.credential else []

    def call(self, method: str, target: str, headers: Iterable[tuple[str, str]] = (), body: Body = b"") -> Response:
        """One direct request on a connection of its own."""
        with HttpClient(self.port, host=self.host, timeout=60) as client:
            client.request(method, target, [*self.headers(), *headers], body)
            return client.read_response()

    def post(self, target: str, obj: Any = None) -> Response:
        """One direct POST of JSON, or of nothing."""
        body = b"" if obj is None else json.dumps(obj).encode()
        return self.call("POST", target, [("content-type", "application/json")], body)

    def counter(self, name: str) -> float:
        """The sum of one metric over its labels."""
        lines = self.call("GET", "/metrics").body.decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))

    def at_work(self) -> int:
        """How many requests the engine has, running or waiting."""
        return int(self.counter("vllm:num_requests_running") + self.counter("vllm:num_requests_waiting"))

    def models_directory(self) -> Path:
        """Where the server's machine keeps the models."""
        return Path(self.call("GET", "/v1/models").json()["data"][0]["root"]).parent
