"""The comparison with a real vLLM runs only on request (`-m vllm`), one kind of server after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.gateway import Gateway
from tests.vllm import servers
from tests.vllm.servers import Server

_ISSUE = """
from keys.models import VirtualKey
key, secret = VirtualKey.objects.issue(name="all", endpoint_classes=["inference", "monitoring", "server_control"])
print(secret)
"""


@dataclass(frozen=True)
class Site:
    """A server, a gateway before it, and the secret of a virtual key that may call everything."""

    server: Server
    gateway: Gateway
    secret: str


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Nothing here belongs to the default run."""
    return None if config.option.markexpr == "vllm" else True


def pytest_collection_finish(session: pytest.Session) -> None:
    """Says what is missing before the first test does."""
    asked_for = any("site" in getattr(item, "fixturenames", ()) for item in session.items)
    if asked_for and not any(map(servers.is_available, servers.KINDS)):
        pytest.exit(servers.HELP, returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups the tests by kind, in whatever order they are within: starting a server takes half a minute."""
    items.sort(key=_kind)


def _kind(item: pytest.Item) -> str:
    spec = getattr(item, "callspec", None)
    return str(spec.params.get("site", "")) if spec else ""


class Sites:
    """One site at a time: a server needs 1.6 GB."""

    def __init__(self) -> None:
        self._kind = ""
        self._site: Site | None = None
        self._open = ExitStack()

    def of_kind(self, kind: str) -> Site:
        """The site of this kind, after the end of another one's."""
        if self._site is None or kind != self._kind:
            self.close()
            self._kind, self._site = kind, self._start(kind)
        return self._site

    def close(self) -> None:
        self._site = None
        self._open.close()

    def _start(self, kind: str) -> Site:
        server = self._open.enter_context(Server(kind))
        # One kind is entered with the /v1 that people paste.
        base = server.url + ("/v1" if kind == "embed" else "")
        gateway = self._open.enter_context(
            Gateway(HOSTED_VLLM_API_BASE=base, HOSTED_VLLM_API_KEY=server.credential or None)
        )
        return Site(server, gateway, gateway.shell(_ISSUE).strip().splitlines()[-1])


@pytest.fixture(scope="session")
def sites() -> Iterator[Sites]:
    running = Sites()
    yield running
    running.close()


@pytest.fixture
def site(request: pytest.FixtureRequest, sites: Sites) -> Site:
    """The site of the kind that the test is parametrised with."""
    if not servers.is_available(request.param):
        pytest.skip(f"no server: set VLLM_HOME or VLLM_{request.param.upper()}")
    return sites.of_kind(request.param)
