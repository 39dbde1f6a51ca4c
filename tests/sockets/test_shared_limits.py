"""Limits among nodes and workers that share a store of counters: exact under concurrency, free again after a crash,
and what happens while that store is away.
"""

from __future__ import annotations

import json
import math
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from tests.support import answers, databases, redis_server, vllm
from tests.support.databases import PostgresServer
from tests.support.exchange import Exchange
from tests.support.gateway import Gateway
from tests.support.http_client import HttpClient, Response
from tests.support.patience import PATIENCE, TRIES, in_one_minute, kept_within, wait_for
from tests.support.redis_server import RedisServer
from tests.support.upstream import Upstream

pytestmark = pytest.mark.skipif(not databases.on_postgresql(), reason="is for the run on PostgreSQL")
CHAT = "/vllm/v1/chat/completions"
LEASE_SECONDS = 6
STORES = ["postgresql", pytest.param("redis", marks=redis_server.needed)]
_SETUP = """
from upstreams.models import Deployment, Upstream
upstream = Upstream.objects.get(name="environment")
Deployment.objects.create(upstream=upstream, alias="priced", served_name="tiny-chat", cost_per_request="0.1")
Deployment.objects.create(upstream=upstream, alias="free", served_name="tiny-chat")
"""


@pytest.fixture(scope="module", params=STORES)
def store(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The settings of nodes that count there."""
    if request.param == "postgresql":
        yield {}
    else:
        with RedisServer(password="a/b@c") as server:
            yield {"REDIS_URL": server.url}


@pytest.fixture(scope="module")
def nodes(standing_upstream: Upstream, store: dict[str, str]) -> Iterator[tuple[Gateway, Gateway]]:
    """Two nodes; the first has two relay workers."""
    database = databases.new_database()
    settings = {
        "HOSTED_VLLM_API_BASE": standing_upstream.url,
        "GATEWAY_LEASE_SECONDS": str(LEASE_SECONDS),
        **store,
    }
    first = Gateway(database=database, WEB_CONCURRENCY="2", **settings)
    second = Gateway(database=database, **settings)
    second.start()
    try:
        with first:
            second.wait_until_ready()
            first.shell(_SETUP)
            for node in (first, second):
                wait_for(lambda node=node: "priced" in str(node.call("GET", "/v1/models").json()))
            yield first, second
            second.stop()
    finally:
        second.discard()


def chat(node: Gateway, key: str, **fields: Any) -> Response:
    return node.post(CHAT, {"model": "free", "messages": [], **fields}, key=key)


def together(nodes: tuple[Gateway, ...], key: str, clients: int, each: int = 1, **fields: Any) -> Counter[int]:
    """The statuses of the calls of so many clients that begin at once, by turns on each node.

    Each of a client's calls has a connection of its own, so that every worker gets some.
    """
    statuses: list[int] = []
    start = threading.Barrier(clients)

    def ask(node: Gateway) -> None:
        start.wait(PATIENCE)
        for _ in range(each):
            statuses.append(chat(node, key, **fields).status)  # noqa: PERF401 - as they come

    threads = [threading.Thread(target=ask, args=(nodes[number % len(nodes)],)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(statuses)


def begin(node: Gateway, key: str, model: str = "free") -> HttpClient:
    """A stream that has begun, and does not end."""
    client = node.connect()
    body = {"model": model, "messages": [], "stream": True, "max_tokens": 80}
    client.request("POST", CHAT, node.headers(key), json.dumps(body).encode())
    assert client.read_head().status == 200
    return client


def test_they_say_where_they_count(nodes: tuple[Gateway, Gateway], store: dict[str, str]) -> None:
    expected = {"status": "ok", "store": "redis" if store else "postgresql"}
    assert [node.ready()["counters"] for node in nodes] == [expected] * 2
    assert "a%2Fb" not in nodes[0].output + nodes[1].output


def test_of_eight_first_calls_one_is_let_through(nodes: tuple[Gateway, Gateway], upstream: Upstream) -> None:
    for _ in range(3):
        secret = nodes[0].make_key(rpm_limit=1)
        assert together(nodes, secret, 8) == {200: 1, 429: 7}


def test_of_a_thousand_calls_a_hundred_are_let_through(nodes: tuple[Gateway, Gateway], upstream: Upstream) -> None:
    found = in_one_minute(lambda: together(nodes, nodes[0].make_key(rpm_limit=100), 8, each=125))
    assert found == {200: 100, 429: 900}


def test_a_call_takes_all_or_nothing(nodes: tuple[Gateway, Gateway], upstream: Upstream) -> None:
    """What a limit refuses uses nothing of the others, however many try at once."""
    secret = nodes[0].make_key(rpm_limit=10, tpm_limit=10_000, max_parallel_requests=50, model_rpm_limit={"priced": 3})
    assert together(nodes, secret, 8, each=2, model="priced") == {200: 3, 429: 13}
    assert together(nodes, secret, 8, each=2) == {200: 7, 429: 9}


def test_a_budget_holds_among_nodes(nodes: tuple[Gateway, Gateway], upstream: Upstream) -> None:
    secret = nodes[0].make_key(max_budget=1)
    found = together(nodes, secret, 8, each=6, model="priced", max_tokens=1)
    assert found == {200: 10, 422: 38}
    key_id = nodes[0].row(chat(nodes[0], secret))["key_id"]
    spent = "SELECT sum(cost) AS cost FROM gateway_requestlog WHERE status = 200 AND key_id = ?"
    wait_for(lambda: nodes[0].query(spent, key_id)[0]["cost"] == 1)  # both nodes have recorded their calls


def test_tokens_are_reserved_among_nodes(nodes: tuple[Gateway, Gateway], upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", answers.endless(vllm.chat_events()[1], gap=0.1))
    secret = nodes[0].make_key(tpm_limit=100)
    with begin(nodes[0], secret), begin(nodes[1], secret):
        vllm.serve(upstream)
        assert [chat(node, secret).status for node in nodes] == [429, 429]


def test_a_place_of_a_long_stream_stays_taken(nodes: tuple[Gateway, Gateway], upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", answers.endless(vllm.chat_events()[1], gap=0.1))
    secret = nodes[0].make_key(max_parallel_requests=1)
    with begin(nodes[0], secret):
        vllm.serve(upstream)
        ends = time.monotonic() + LEASE_SECONDS + 1
        while time.monotonic() < ends:
            assert chat(nodes[1], secret).status == 429
            time.sleep(0.2)
    wait_for(lambda: chat(nodes[1], secret).status == 200)


def test_the_places_of_a_killed_worker_come_free_by_themselves(
    nodes: tuple[Gateway, Gateway], upstream: Upstream
) -> None:

    def stayed() -> float:
        """For how many seconds they stayed taken."""
        upstream.on("POST /v1/chat/completions", answers.endless(vllm.chat_events()[1], gap=0.1))
        secret = nodes[0].make_key(max_parallel_requests=2)
        clients = [begin(nodes[0], secret) for _ in range(2)]
        vllm.serve(upstream)
        before = nodes[0].pids().relay_workers
        killed_at = time.monotonic()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        for client in clients:
            client.close()
        wait_for(lambda: chat(nodes[1], secret).status == 200)
        took = time.monotonic() - killed_at
        wait_for(lambda: len(set(nodes[0].pids().relay_workers) - set(before)) == 2)
        nodes[0].wait_until_ready()
        wait_for(lambda: chat(nodes[0], secret).status == 200)
        return took

    assert any(stayed() > LEASE_SECONDS / 2 for _ in range(TRIES))


def test_nothing_stays_taken_after_a_stop(store: dict[str, str], upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", answers.endless(vllm.chat_events()[1], gap=0.1))
    # Not the database of the nodes, whose keys have the same ids.
    store = {name: url.removesuffix("0") + "1" for name, url in store.items()}
    with Gateway(HOSTED_VLLM_API_BASE=upstream.url, GATEWAY_GRACE_SECONDS="3", **store) as gateway:
        secret = gateway.make_key(max_parallel_requests=5, tpm_limit=10_000)
        clients = [begin(gateway, secret, "tiny-chat") for _ in range(3)]
        held = _held(gateway, store)
        gateway.stop()
        for client in clients:
            client.close()
        assert (held, _held(gateway, store)) == (6 if not store else 2, 0)


def _held(gateway: Gateway, store: dict[str, str]) -> int:
    """How many leases there are; in Redis, of how many counters."""
    if not store:
        return int(gateway.query("SELECT count(*) AS n FROM keys_lease")[0]["n"])
    with Redis.from_url(store["REDIS_URL"]) as redis:
        return len(redis.keys("vgw:{limits}:held:*"))


# --- The store is away


class Load:
    """Calls without a break, in a thread, each on a connection of its own."""

    def __init__(self, node: Gateway, secret: str) -> None:
        self.statuses: list[int] = []
        self.longest = 0.0
        self._ask = lambda: chat(node, secret).status
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            began = time.monotonic()
            self.statuses.append(self._ask())
            self.longest = max(self.longest, time.monotonic() - began)

    def wait_for_more(self, calls: int) -> None:
        wanted = len(self.statuses) + calls
        wait_for(lambda: len(self.statuses) >= wanted)


@redis_server.needed
@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_calls_go_on_without_redis_and_limits_hold_again_when_it_is_back(upstream: Upstream, how: str) -> None:
    with (
        RedisServer() as redis,
        Gateway(HOSTED_VLLM_API_BASE=upstream.url, REDIS_URL=redis.url) as gateway,
    ):
        gateway.shell(_SETUP)
        busy = gateway.make_key(max_parallel_requests=50, max_budget=100)
        wait_for(lambda: chat(gateway, busy).status == 200)

        def times_told() -> set[int]:
            return {gateway.output.count(words) for words in ("Redis does not answer", "Redis answers again")}

        def once() -> float:
            """How long the longest call took; never mind where Redis was slow at another moment than it is to be."""
            (before,) = times_told()
            limited = gateway.make_key(rpm_limit=2)
            with Load(gateway, busy) as load:
                load.wait_for_more(20)
                redis.kill() if how == "kill" else redis.freeze()
                wait_for(lambda: gateway.ready()["counters"]["status"] == "away")
                assert gateway.ready()["status"] == "degraded"
                assert gateway.ready()["counters"]["meanwhile"] == "limits hold in each process"
                assert [chat(gateway, limited).status for _ in range(3)] == [200, 200, 429]
                load.wait_for_more(30)
                redis.start() if how == "kill" else redis.thaw()
                wait_for(lambda: gateway.ready()["counters"]["status"] == "ok")
                load.wait_for_more(20)
            assert set(load.statuses) == {200}
            again = gateway.make_key(rpm_limit=2)
            are_held = [chat(gateway, again).status for _ in range(3)] == [200, 200, 429]
            is_told_once = times_told() == {before + 1}
            wait_for(lambda: gateway.ready()["status"] == "healthy")
            return load.longest if are_held and is_told_once else math.inf

        kept_within(4, once)  # Redis has two seconds to answer


@redis_server.needed
def test_calls_with_limits_may_be_refused_without_redis(upstream: Upstream) -> None:
    with (
        RedisServer() as redis,
        Gateway(
            HOSTED_VLLM_API_BASE=upstream.url, REDIS_URL=redis.url, GATEWAY_LIMITS_WITHOUT_STORE="refuse"
        ) as gateway,
    ):
        limited, free = gateway.make_key(rpm_limit=1000), gateway.make_key()
        assert [_status(gateway, key) for key in (limited, free)] == [200, 200]
        redis.kill()
        response = gateway.call("GET", "/vllm/version", key=limited)
        assert (response.status, response.json()["error"]["type"]) == (503, "limits_unavailable")
        assert int(response.header("retry-after") or 0) > 0
        assert [_status(gateway, key) for key in (limited, free)] == [503, 200]
        assert gateway.ready()["counters"]["meanwhile"] == "calls with limits are refused"
        redis.start()
        wait_for(lambda: _status(gateway, limited) == 200)


def test_calls_with_limits_may_be_refused_without_the_database(postgres: PostgresServer, upstream: Upstream) -> None:
    with Gateway(
        HOSTED_VLLM_API_BASE=upstream.url, database=postgres.url, GATEWAY_LIMITS_WITHOUT_STORE="refuse"
    ) as gateway:
        limited, free = gateway.make_key(rpm_limit=1000), gateway.make_key()
        assert [_status(gateway, key) for key in (limited, free)] == [200, 200]
        postgres.stop()
        assert [_status(gateway, key) for key in (limited, free)] == [503, 200]
        assert gateway.ready()["counters"]["store"] == "postgresql"
        postgres.start()
        wait_for(lambda: _status(gateway, limited) == 200)


def _status(gateway: Gateway, key: str) -> int:
    return gateway.call("GET", "/vllm/version", key=key).status


class _Together:
    """A server that notes how many calls it has at once."""

    def __init__(self) -> None:
        self.open = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, exchange: Exchange) -> None:
        with self._lock:
            self.open += 1
            self.most = max(self.most, self.open)
        exchange.pause(0.2)
        with self._lock:
            self.open -= 1
        answers.json(200, {})(exchange)


def test_an_upstream_s_ceiling_holds_among_all_nodes(nodes: tuple[Gateway, Gateway], upstream: Upstream) -> None:
    secret = nodes[0].make_key()

    def most_at_once() -> int:
        server = _Together()
        upstream.on("POST /v1/chat/completions", server)
        assert together(nodes, secret, 10) == {200: 10}
        return server.most

    _set_ceiling(nodes[0], 2)
    try:
        wait_for(lambda: [most_at_once() for _ in range(2)] == [2, 2])  # until every worker has heard of it
        assert {most_at_once() for _ in range(3)} == {2}
    finally:
        _set_ceiling(nodes[0], None)


def _set_ceiling(node: Gateway, ceiling: int | None) -> None:
    node.shell(f"from upstreams.models import Upstream; Upstream.objects.update(max_parallel={ceiling})")
