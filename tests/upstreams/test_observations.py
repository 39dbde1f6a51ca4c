"""What is noted of upstreams."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from tests.support import answers, vllm
from tests.support.upstream import Upstream as Server
from upstreams.checking import Check
from upstreams.load import Figures
from upstreams.models import HealthChange, LoadSample, Upstream, UpstreamsVersion
from upstreams.observations import check_and_record, prune, record, record_illness, record_loads

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


def history() -> list[tuple[str, str]]:
    return list(HealthChange.objects.order_by("pk").values_list("health", "text"))


def test_each_change_of_health_is_a_line_of_the_history(server: Server) -> None:
    upstream = row(server)
    for healthy, text in [(True, "well"), (True, "still well"), (False, "refused"), (False, "silent"), (True, "back")]:
        record(upstream, Check(healthy=healthy, text=text))
    assert history() == [("healthy", "well"), ("unhealthy", "refused"), ("healthy", "back")]


def test_an_illness_that_the_pulse_sees_is_a_line_too(server: Server) -> None:
    upstream = row(server, health="healthy")
    for _ in range(2):
        record_illness(upstream, Check(healthy=False, text="refused"))
    assert history() == [("unhealthy", "refused")]


def test_what_was_seen_at_an_old_url_is_no_line(server: Server) -> None:
    seen = row(server)
    Upstream.objects.update_quietly(url="http://elsewhere")
    record(seen, Check(healthy=True, text="well"))
    assert history() == []


def test_of_each_half_minute_the_highest_load_is_kept(server: Server) -> None:
    upstream, at = row(server), datetime(2026, 3, 1, 12, 0, 3, tzinfo=UTC)
    for second, running, waiting, use in ((0, 1, 2, 0.5), (10, 3, 0, None), (20, 2, 1, 0.25), (30, 1, 0, None)):
        figures = Figures(running=running, waiting=waiting, kv_cache_use=use)
        LoadSample.objects.note({upstream.pk: figures}, at + timedelta(seconds=second))
    told = LoadSample.objects.values_list("at__second", "running", "waiting", "kv_cache_use")
    assert list(told) == [(0, 3, 2, 0.5), (30, 1, 0, None)]


def test_load_of_an_upstream_that_is_gone_is_not_kept(server: Server) -> None:
    record_loads({row(server).pk + 1: Figures(running=1, waiting=0, kv_cache_use=None)})
    assert not LoadSample.objects.exists()


def test_old_observations_are_pruned(server: Server) -> None:
    upstream, now = row(server), timezone.now()
    for days in (1, 6, 8, 100):
        at = now - timedelta(days=days)
        LoadSample.objects.create(upstream=upstream, at=at, running=days, waiting=0)
        HealthChange.objects.create(upstream=upstream, at=at, health="healthy", text=str(days))
    prune([upstream.pk], now)
    assert list(LoadSample.objects.values_list("running", flat=True)) == [6, 1]
    assert [text for _, text in history()] == ["1", "6", "8"]


def test_a_check_notes_the_posture_too_and_another_url_forgets_it(server: Server) -> None:
    server.on("GET /is_sleeping", answers.json(200, {"is_sleeping": False}))
    check_and_record(row(server))
    upstream = Upstream.objects.get()
    assert upstream.posture == {"dev_mode": True, "models": True, "invocations": False, "asleep": False}
    upstream.url = "http://elsewhere"
    upstream.save()
    assert (Upstream.objects.get().posture, Upstream.objects.get().posture_at) == ({}, None)
