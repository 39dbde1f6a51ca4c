"""One gateway and one scripted upstream for most of the tests here: starting a gateway takes seconds.

The upstream of the environment is the default; further upstream rows lead to the same server by other base URLs,
or to nowhere, and are reached by their deployments' aliases.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import databases, vllm
from tests.support.databases import PostgresServer
from tests.support.gateway import Gateway
from tests.support.patience import wait_for
from tests.support.ports import unused_port
from tests.support.tls import TlsServer
from tests.support.upstream import Upstream

CREDENTIAL = "the-upstreams-own-credential"
CONNECT_SECONDS, FIRST_BYTE_SECONDS, IDLE_SECONDS, BODY_SECONDS = 2.0, 6.0, 7.0, 4.0
"""As short as tests can wait for, and as long as a busy machine may take for what should be in time."""

_ALIASES = """
from upstreams.models import Deployment, Upstream
environment = Upstream.objects.get(name="environment")
Deployment.objects.create(upstream=environment, alias="nice-name", served_name="tiny-chat")
base = environment.url
for alias, url in {{
    "slashed": base + "/",
    "versioned": base + "/v1",
    "versioned-slashed": base + "/v1/",
    "prefixed": base + "/some/base",
    "prefixed-versioned": base + "/some/base/v1",
    "nameless": "http://no-such-host.invalid",
    "untrusted": "{tls}",
    "refused": "http://127.0.0.1:{closed}",
}}.items():
    upstream = Upstream(name=alias, url=url)
    upstream.full_clean()
    upstream.save()
    Deployment.objects.create(upstream=upstream, alias=alias, served_name=alias)
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is marked `sockets`; what concerns one kind of database runs on that one only."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.sockets)


@pytest.fixture(scope="session")
def standing_upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        vllm.serve(upstream)
        yield upstream


@pytest.fixture(scope="session")
def gateway(standing_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The shared gateway, with short times and a body limit of 2 MB.

    A netrc and a proxy lie in wait for it: requests' sessions would use the one as the upstream's credential and
    send everything to the other.
    """
    directory = tmp_path_factory.mktemp("shared")
    (directory / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    with (
        TlsServer(directory) as tls,
        Gateway(
            NETRC=str(directory / "netrc"),
            HTTP_PROXY=f"http://127.0.0.1:{unused_port()}",
            HOSTED_VLLM_API_BASE=standing_upstream.url,
            HOSTED_VLLM_API_KEY=CREDENTIAL,
            GATEWAY_CONNECT_TIMEOUT=str(CONNECT_SECONDS),
            GATEWAY_FIRST_BYTE_TIMEOUT=str(FIRST_BYTE_SECONDS),
            GATEWAY_IDLE_TIMEOUT=str(IDLE_SECONDS),
            GATEWAY_BODY_TIMEOUT=str(BODY_SECONDS),
            GATEWAY_MAX_BODY_MB="2",
            GATEWAY_GRACE_SECONDS="3",
        ) as gateway,
    ):
        gateway.shell(_ALIASES.format(closed=unused_port(), tls=tls.url))
        wait_for(lambda: gateway.post("/vllm/v1/completions", {"model": "refused"}).status == 502)
        yield gateway


@pytest.fixture
def upstream(standing_upstream: Upstream) -> Upstream:
    """The default upstream of `gateway`, answering as vLLM until a test scripts it."""
    with standing_upstream.anew():
        vllm.serve(standing_upstream)
    return standing_upstream


@pytest.fixture(scope="session")
def key(gateway: Gateway) -> str:
    """A virtual key without limits."""
    return gateway.make_key(key_alias="shared")


@pytest.fixture
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL of the test's own, which it may stop."""
    if not databases.on_postgresql():
        pytest.skip("is for the run on PostgreSQL")
    with PostgresServer(tmp_path_factory.mktemp("pg")) as server:
        yield server
