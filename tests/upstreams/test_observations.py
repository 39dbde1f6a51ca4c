"""What is noted of upstreams."""

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from tests.support import vllm
from tests.support.upstream import Upstream as Server
from upstreams.checking import Check
from upstreams.load import Figures
from upstreams.models import Upstream, UpstreamsVersion
from upstreams.observations import check_and_record, record_illness, record_loads

pytestmark = [pytest.mark.sockets, pytest.mark.django_db]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        vllm.serve(server)
        yield server


def row(server: Server, **fields: Any) -> Upstream:
    return Upstream.objects.create(**{"name": "one", "url": server.url, **fields})


def test_a_check_is_noted_in_the_row(server: Server) -> None:
    result = check_and_record(row(server))
    noted = Upstream.objects.get()
    assert (noted.health, noted.health_text, noted.vllm_version) == ("healthy", result.text, "0.32.0")
    assert noted.latency_ms == result.latency_ms
    assert noted.checked_at is not None


def test_only_new_models_bump_the_version(server: Server) -> None:
    upstream = row(server)
    check_and_record(upstream)
    version = UpstreamsVersion.current()
    check_and_record(upstream)
    assert UpstreamsVersion.current() == version
    assert Upstream.objects.get(version=version).served_models == ["tiny-chat"]


def test_a_failed_check_keeps_the_models(server: Server) -> None:
    upstream = row(server, served_models=["tiny-chat"])
    server.on("GET /health", vllm.health(503))
    check_and_record(upstream)
    noted = Upstream.objects.get()
    assert (noted.health, noted.served_models) == ("unhealthy", ["tiny-chat"])


def test_what_was_seen_at_an_old_url_is_not_noted(server: Server) -> None:
    seen = row(server)
    Upstream.objects.update_quietly(url="http://elsewhere")
    check_and_record(seen)
    assert Upstream.objects.get().health == "unknown"
    assert not Upstream.objects.get().deployments.exists()


def test_the_same_illness_is_not_written_again(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    upstream = Upstream.objects.create(name="one", url="http://one")
    record_illness(upstream, Check(healthy=False, text="It is away."))
    first = Upstream.objects.get()
    with django_assert_num_queries(1):
        record_illness(upstream, Check(healthy=False, text="It is away."))
    assert (first.health, first.health_text) == ("unhealthy", "It is away.")
    assert Upstream.objects.get().checked_at == first.checked_at


def test_another_illness_is_written(server: Server) -> None:
    upstream = Upstream.objects.create(name="one", url="http://one")
    for text in ("It is away.", "It is silent."):
        record_illness(upstream, Check(healthy=False, text=text))
    assert Upstream.objects.get().health_text == "It is silent."


def test_loads_are_noted_quietly() -> None:
    upstream = Upstream.objects.create(name="one", url="http://one")
    version = UpstreamsVersion.current()
    record_loads({upstream.pk: Figures(3, 2, 0.5)})
    noted = Upstream.objects.get()
    assert (noted.running, noted.waiting, noted.kv_cache_use) == (3, 2, 0.5)
    assert noted.load_at is not None
    assert UpstreamsVersion.current() == version
