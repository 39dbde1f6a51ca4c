"""Who is looked at, and when."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import DataError, InterfaceError, OperationalError, connection
from django.utils import timezone

from tests.support import answers, vllm
from tests.support.clock import Clock
from tests.support.patience import PATIENCE, wait_for
from tests.support.ports import unused_port
from tests.support.upstream import Upstream as Server
from upstreams.models import Deployment, LoadSample, ModelAlias, Routing, Upstream
from upstreams.pool import UpstreamPool
from upstreams.prober import Pace, Prober

pytestmark = [pytest.mark.sockets, pytest.mark.django_db(transaction=True)]

NEVER = 1e9
ONCE = Pace(full=NEVER, pulse=NEVER, load=NEVER, load_else=NEVER, jitter=0)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        vllm.serve(server)
        yield server


def row(server: Server, **fields: Any) -> Upstream:
    return Upstream.objects.create(**{"name": "one", "url": server.url, **fields})


def steps_until(prober: Prober, seen: Callable[[], bool]) -> None:
    """Steps until it is seen, and until no look is going on."""

    def is_over() -> bool:
        if seen() and not any(watched.going_on for watched in prober._watched.values()):
            return True
        prober.step()
        return False

    wait_for(is_over)


def asked(server: Server) -> list[str]:
    return [request.target for request in server.requests]


def is_known(**fields: Any) -> Callable[[], bool]:
    return lambda: Upstream.objects.filter(**fields).exists()


def test_a_new_upstream_is_looked_at_and_its_models_can_be_called(server: Server) -> None:
    prober = Prober(ONCE)
    prober.step()
    row(server)
    prober._follow_at = 0
    steps_until(prober, is_known(health="healthy", waiting=0))
    pool = UpstreamPool()
    pool.refresh()
    assert pool.candidates("tiny-chat")[0].upstream.name == "one"
    assert pool.knows("tiny-chat")


def test_disabled_upstreams_are_checked_too_but_not_otherwise(server: Server) -> None:
    row(server, state="disabled")
    prober = Prober(ONCE)
    steps_until(prober, is_known(health="healthy"))
    assert asked(server) == ["/health", "/version", "/v1/models"]


def test_the_posture_of_a_healthy_server_is_looked_at_now_and_then(server: Server) -> None:
    clock = Clock(1000.0)
    row(server)
    prober = Prober(Pace(full=NEVER, pulse=NEVER, load=NEVER, load_else=NEVER, posture=600, jitter=0), clock=clock)
    steps_until(prober, is_known(posture__models=True))
    server.on("GET /v1/models", vllm.unauthorized())
    clock.now += 600
    steps_until(prober, is_known(posture__models=False))
    assert asked(server).count("/is_sleeping") == 2


def test_what_is_too_old_goes_within_the_hour(server: Server) -> None:
    clock, upstream = Clock(1000.0), row(server)
    prober = Prober(ONCE, clock=clock)
    prober.step()
    LoadSample.objects.create(upstream=upstream, at=timezone.now() - timedelta(days=8), running=1, waiting=1)
    clock.now += 3600
    prober.step()
    assert not LoadSample.objects.exclude(running=0).exists()


def test_one_that_is_away_does_not_keep_others_waiting(server: Server) -> None:
    with Server() as silent:
        silent.on("GET /health", answers.silence())
        row(silent, name="silent")
        row(server)
        prober, is_well = Prober(ONCE), is_known(name="one", health="healthy")

        def steps_on() -> bool:
            prober.step()
            return is_well()

        wait_for(steps_on)
        assert not is_known(name="silent", checked_at__isnull=False)()
        prober.stop()


def test_a_server_that_falls_ill_is_noticed_by_its_pulse_and_checked_when_it_is_back(server: Server) -> None:
    clock = Clock(1000.0)
    row(server)
    prober = Prober(Pace(full=NEVER, pulse=5, load=NEVER, load_else=NEVER, jitter=0), clock=clock)
    steps_until(prober, is_known(health="healthy"))
    server.on("GET /health", vllm.health(503))
    clock.now += 5
    steps_until(prober, is_known(health="unhealthy"))
    server.on("GET /health", vllm.health())
    server.on("GET /v1/models", vllm.models("tiny-chat", "new"))
    clock.now += 5
    steps_until(prober, is_known(health="healthy"))
    assert set(Deployment.objects.values_list("alias", flat=True)) == {"tiny-chat", "new"}


def test_a_server_that_is_well_costs_no_write_at_its_pulse(server: Server) -> None:
    clock = Clock(1000.0)
    row(server)
    prober = Prober(Pace(full=NEVER, pulse=5, load=NEVER, load_else=NEVER, jitter=0), clock=clock)
    steps_until(prober, is_known(health="healthy"))
    checked_at = Upstream.objects.get().checked_at
    clock.now += 5
    steps_until(prober, lambda: asked(server).count("/health") == 2)
    assert Upstream.objects.get().checked_at == checked_at


def test_a_sleeping_server_is_well(server: Server) -> None:
    server.on("POST /v1/chat/completions", answers.silence())
    row(server)
    prober = Prober(ONCE)
    steps_until(prober, is_known(health="healthy"))


def test_another_url_is_looked_at_anew(server: Server) -> None:
    upstream = Upstream.objects.create(name="one", url=f"http://127.0.0.1:{unused_port()}")
    prober = Prober(ONCE)
    steps_until(prober, is_known(health="unhealthy"))
    upstream.url = server.url
    upstream.save()
    prober._follow_at = 0
    steps_until(prober, is_known(health="healthy"))


def test_an_upstream_that_was_deleted_is_not_looked_at_any_more(server: Server) -> None:
    upstream = row(server)
    prober = Prober(ONCE)
    steps_until(prober, is_known(health="healthy"))
    upstream.delete()
    prober._follow_at = 0
    prober.step()
    assert not prober._watched


@pytest.mark.parametrize("how", ["alias", "routing", "nobody"])
def test_only_who_may_be_chosen_by_load_is_asked_for_it_often(server: Server, how: str) -> None:
    clock = Clock(1000.0)
    if how == "alias":
        ModelAlias.objects.create(name="tiny-chat", strategy="lowest_waiting")
    elif how == "routing":
        Routing.objects.create(strategy="lowest_waiting")
    row(server).deployments.create(alias="tiny-chat")
    prober = Prober(Pace(full=NEVER, pulse=NEVER, load=2, load_else=10, jitter=0), clock=clock)
    steps_until(prober, is_known(health="healthy", waiting=0))
    server.on("GET /metrics", vllm.metrics(running=4, waiting=3))
    clock.now += 2
    prober.step()
    if how == "nobody":
        assert asked(server).count("/metrics") == 1
        clock.now += 8
    steps_until(prober, is_known(running=4, waiting=3))


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_step_survives_a_database_that_is_away(error: type[Exception], caplog: pytest.LogCaptureFixture) -> None:
    def away(*_: Any) -> None:
        raise error("away")

    prober = Prober(ONCE)
    with connection.execute_wrapper(away):
        prober.step()
        prober.step()
    assert caplog.text.count("could not be watched") == 1
    assert "Traceback" not in caplog.text


def test_what_the_database_refuses_is_no_absence(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(*_: Any) -> None:
        raise DataError("value too long")

    prober = Prober(ONCE)
    with connection.execute_wrapper(refuse):
        prober.step()
    assert "Traceback" in caplog.text
    assert "does not answer" not in caplog.text


def test_the_database_is_asked_once_a_second_while_nothing_changes(server: Server) -> None:
    clock, queries = Clock(1000.0), []
    prober = Prober(ONCE, clock=clock)
    prober.step()

    def count(execute: Any, sql: str, *rest: Any) -> Any:
        queries.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(count):
        for _ in range(8):
            prober.step()
            clock.now += 0.25
    assert len(queries) == 1


def test_a_step_leaves_no_connection_open(server: Server) -> None:
    row(server)
    opened: list[bool] = []

    def one_step() -> None:
        Prober(ONCE).step()
        opened.append(connection.connection is not None)

    thread = threading.Thread(target=one_step)
    thread.start()
    thread.join()
    assert opened == [False] or connection.vendor == "sqlite"  # the tests' SQLite lives in its connection


class Steps(Prober):
    """A prober that only counts its steps, and can be waited for."""

    def __init__(self) -> None:
        super().__init__(ONCE)
        self.done = threading.Semaphore(0)

    def step(self) -> None:
        self.done.release()


def test_the_thread_goes_step_after_step_until_it_is_stopped() -> None:
    steps = Steps()
    steps.start()
    assert all(steps.done.acquire(timeout=PATIENCE) for _ in range(3))
    steps.stop(timeout=PATIENCE)
    assert not steps._thread or not steps._thread.is_alive()


def test_a_prober_that_was_never_started_can_be_stopped() -> None:
    prober = Prober()
    prober.stop()
    prober.step()


@pytest.mark.parametrize(("drawn", "pause"), [(0.0, 24.0), (0.5, 30.0), (1.0, 36.0)])
def test_the_pace_is_spread(drawn: float, pause: float) -> None:
    assert Prober(Pace(jitter=0.2), rand=lambda: drawn)._spread(30) == pytest.approx(pause)
