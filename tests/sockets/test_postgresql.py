"""Several nodes and workers on one PostgreSQL, and one that is away for a while. Limits: test_shared_limits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tests.support import answers, databases, vllm
from tests.support.databases import PostgresServer
from tests.support.gateway import Gateway
from tests.support.http_client import HttpClient
from tests.support.patience import TRIES, kept_within, wait_for
from tests.support.upstream import Upstream

pytestmark = pytest.mark.skipif(not databases.on_postgresql(), reason="is for the run on PostgreSQL")
CHAT = "/vllm/v1/chat/completions"
STREAM = b'{"model":"tiny-chat","stream":true}'
POOL = 3


@pytest.fixture(scope="module")
def nodes(standing_upstream: Upstream) -> Iterator[tuple[Gateway, Gateway]]:
    """Two nodes that start at the same moment on an empty database; the first has two relay workers."""
    database = databases.new_database()
    settings = {"HOSTED_VLLM_API_BASE": standing_upstream.url, "DATABASE_POOL_SIZE": str(POOL)}
    first = Gateway(database=database, WEB_CONCURRENCY="2", **settings)
    second = Gateway(database=database, **settings)
    second.start()
    try:
        with first:
            second.wait_until_ready()
            yield first, second
            second.stop()
    finally:
        second.discard()


def _statuses(gateway: Gateway, secret: str, count: int = 12) -> set[int]:
    """Of so many calls on connections of their own, so that every worker gets some."""
    return {gateway.call("GET", "/vllm/version", key=secret).status for _ in range(count)}


def _begin(gateway: Gateway, secret: str) -> HttpClient:
    client = gateway.connect()
    client.request("POST", CHAT, gateway.headers(secret), STREAM)
    client.read_head()
    return client


def test_nodes_that_start_together_share_tables_and_one_admin(nodes: tuple[Gateway, Gateway]) -> None:
    first, second = nodes
    shown = [node.output.count("password") for node in nodes]
    assert sorted(shown) == [0, 1]
    assert len(first.pids().relay_workers) == 2
    assert len(second.query("SELECT * FROM upstreams_upstream")) == 1


def test_a_new_key_works_at_once_on_every_worker_of_every_node(
    nodes: tuple[Gateway, Gateway], upstream: Upstream
) -> None:
    secret = nodes[0].make_key()
    assert _statuses(nodes[0], secret) == _statuses(nodes[1], secret) == {200}


def test_a_blocked_key_is_refused_by_every_worker_within_a_second(
    nodes: tuple[Gateway, Gateway], upstream: Upstream
) -> None:

    def is_refused_everywhere() -> bool:
        secret = nodes[1].make_key()
        assert _statuses(nodes[0], secret) == {200}
        nodes[1].key_api("block", key=secret)
        time.sleep(1)  # the promise itself
        return _statuses(nodes[0], secret) == _statuses(nodes[1], secret) == {401}

    assert any(is_refused_everywhere() for _ in range(TRIES))


def test_a_stream_of_a_blocked_key_is_cut_on_whichever_worker_it_runs(
    nodes: tuple[Gateway, Gateway], upstream: Upstream
) -> None:
    upstream.on("POST /v1/chat/completions", answers.endless(vllm.chat_events()[1], gap=0.1))

    def once() -> float:
        secret = nodes[0].make_key()
        clients = [_begin(node, secret) for node in (*nodes, *nodes)]
        nodes[1].key_api("block", key=secret)
        blocked_at = time.monotonic()
        try:
            assert [client.wait_for_end() for client in clients] == ["fin"] * 4
            return time.monotonic() - blocked_at
        finally:
            for client in clients:
                client.close()

    kept_within(2.5, once)


def test_places_are_counted_among_all_nodes(nodes: tuple[Gateway, Gateway], upstream: Upstream) -> None:
    let_go = threading.Event()
    upstream.on("POST /v1/chat/completions", answers.held(let_go, answers.json(200, {})))
    secret = nodes[0].make_key(max_parallel_requests=2)
    assert nodes[1].call("GET", "/vllm/version", key=secret).status == 200
    statuses: list[int] = []
    together = threading.Barrier(8)

    def ask(node: Gateway) -> None:
        together.wait()
        statuses.append(node.call("POST", CHAT, key=secret, body=b"{}").status)

    threads = [threading.Thread(target=ask, args=(nodes[number % 2],)) for number in range(8)]
    for thread in threads:
        thread.start()
    wait_for(lambda: statuses == [429] * 6)
    let_go.set()
    for thread in threads:
        thread.join()
    assert statuses[6:] == [200] * 2
    wait_for(lambda: nodes[1].call("GET", "/vllm/version", key=secret).status == 200)


def test_streams_hold_no_connection_to_the_database(nodes: tuple[Gateway, Gateway], upstream: Upstream) -> None:
    """Even those whose places were taken there: or else a few streams would use up the pool."""
    upstream.on("POST /v1/chat/completions", answers.endless(vllm.chat_events()[1], gap=0.2))
    secret = nodes[1].make_key(max_parallel_requests=100)
    clients = [_begin(nodes[1], secret) for _ in range(3 * POOL)]

    def once() -> float:
        began = time.monotonic()
        assert nodes[1].call("GET", "/vllm/version", key=nodes[1].make_key()).status == 200
        return time.monotonic() - began

    try:
        kept_within(2, once)  # the time that a call waits for a connection
    finally:
        for client in clients:
            client.close()


def test_calls_leave_no_connection_behind(nodes: tuple[Gateway, Gateway], upstream: Upstream) -> None:
    """A kept connection would be one for each greenlet that ever was."""
    secret = nodes[1].make_key(max_parallel_requests=100)
    for _ in range(40):
        nodes[1].call("GET", "/vllm/version", key=secret)
    count = nodes[1].query("SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()")[0]["n"]
    assert count <= 5 * POOL + 3  # a pool for each of five processes; recorders and this query


# --- Away for a while ---------------------------------------------------------------------------------------


def test_a_database_that_is_away_costs_no_known_key_a_call_and_no_call_its_row(
    postgres: PostgresServer, upstream: Upstream
) -> None:
    with Gateway(HOSTED_VLLM_API_BASE=upstream.url, database=postgres.url) as gateway:
        known, limited = gateway.make_key(), gateway.make_key(max_parallel_requests=50)
        for secret in (known, limited):
            assert gateway.call("GET", "/vllm/version", key=secret).status == 200
        load = _Load(gateway, [known, limited])
        with load:
            wait_for(lambda: len(load.statuses) > 20)
            postgres.stop()
            wait_for(lambda: gateway.ready()["db"] == "Not connected")
            assert gateway.ready()["status"] == "degraded"
            refused = gateway.call("GET", "/vllm/version", key="sk-unknown-0123456789")
            assert (refused.status, refused.json()["error"]["type"]) == (503, "no_db_connection")
            before = len(load.statuses)
            wait_for(lambda: len(load.statuses) > before + 40)
            postgres.start()
            wait_for(lambda: gateway.ready()["db"] == "connected")
            wait_for(lambda: gateway.call("GET", "/vllm/version", key="sk-unknown-0123456789").status == 401)
        assert set(load.statuses) == {200}
        wait_for(lambda: gateway.ready()["journal"]["backlog_bytes"] == 0)
        rows = gateway.rows("request_id LIKE ?", "load-%")
        assert len(rows) == len(load.statuses)
        assert {row["outcome"] for row in rows} == {"completed"}
        assert gateway.call("GET", "/vllm/version", key=gateway.make_key()).status == 200


class _Load:
    """Calls without a break on one connection, in a thread, by turns with each key."""

    def __init__(self, gateway: Gateway, secrets: list[str]) -> None:
        self.statuses: list[int] = []
        self._gateway = gateway
        self._secrets = secrets
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with self._gateway.connect() as client:
            while not self._stop.wait(0.02):
                number = len(self.statuses)
                name = ("x-request-id", f"load-{number}")
                client.request("GET", "/vllm/version", [*self._gateway.headers(self._secrets[number % 2]), name])
                self.statuses.append(client.read_response().status)
