"""What dies, what is started again, what is left: processes, SIGTERM and SIGKILL, two starts, one plane alone."""

from __future__ import annotations

import json
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support import answers, vllm
from tests.support.gateway import Gateway, is_alive
from tests.support.http_client import HttpClient
from tests.support.patience import PATIENCE, wait_for
from tests.support.upstream import Upstream
from tests.support.wire import PeerClosed

CHAT = "/vllm/v1/chat/completions"
STREAM = b'{"model":"tiny-chat","stream":true}'
KEEPALIVE_SECONDS = 15  # of gateway.serving.gunicorn_relay, which only gunicorn can import: it patches the process


def _begin(gateway: Gateway, name: str, key: str | None = None) -> HttpClient:
    client = gateway.connect()
    client.request("POST", CHAT, [*gateway.headers(key), ("x-request-id", name)], STREAM)
    return client


def _arrived(gateway: Gateway, upstream: Upstream, name: str) -> HttpClient:
    client = _begin(gateway, name)
    upstream.request_with_id(name)
    return client


def _call_often(gateway: Gateway, key: str, count: int) -> None:
    """Answered calls on one connection."""
    with gateway.connect() as client:
        for _ in range(count):
            client.request("POST", CHAT, gateway.headers(key), b'{"model":"tiny-chat"}')
            assert client.read_response().status == 200


# --- Killed and started again -------------------------------------------------------------------------------


def test_a_killed_gateway_loses_no_call(upstream: Upstream, tmp_path: Path) -> None:
    """kill -9 of everything after 500 answered calls, with three in flight; a second start keeps keys and rows."""
    with Gateway(HOSTED_VLLM_API_BASE=upstream.url, data_dir=tmp_path) as first:
        secret = first.make_key(key_alias="kept")
        _call_often(first, secret, 500)
        upstream.on("POST /v1/chat/completions", answers.silence())
        clients = [_begin(first, f"in-flight-{number}", secret) for number in range(3)]
        for number in range(3):
            upstream.request_with_id(f"in-flight-{number}")
        first.kill()
        for client in clients:
            client.close()
        vllm.serve(upstream)
        with Gateway(HOSTED_VLLM_API_BASE=upstream.url, data_dir=tmp_path, database=first.database_url) as second:
            wait_for(lambda: len(second.rows("outcome = 'lost'")) == 3)
            rows = second.rows()
            assert len(rows) == 503
            assert sum(row["outcome"] == "completed" for row in rows) == 500
            assert {row["request_id"] for row in rows if row["outcome"] == "lost"} == {
                f"in-flight-{number}" for number in range(3)
            }
            assert second.call("GET", "/vllm/version", key=secret).status == 200
            assert "password" not in second.output.split("master key")[-2]
            usage = second.query("SELECT sum(calls) AS calls FROM gateway_usagehour")
            assert int(usage[0]["calls"]) >= 503


def _limit_files(gateway: Gateway, size: int) -> None:
    """Lets no file of the relay's grow beyond `size` bytes, as if its disk were full."""
    resource.prlimit(gateway.pids().relay, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_full_disk_ends_no_call_and_its_rows_are_written_once_there_is_room(upstream: Upstream) -> None:
    """From the relay's first call on, and without a call after it."""
    with Gateway(planes=["--relay"], HOSTED_VLLM_API_BASE=upstream.url) as gateway:
        _limit_files(gateway, 10)
        assert gateway.post(CHAT, {"model": "tiny-chat"}, [("x-request-id", "full")]).status == 200
        wait_for(lambda: gateway.ready()["journal"]["lost_calls"] == 1)
        large = gateway.post(CHAT, {"model": "tiny-chat", "prompt": "x" * 1_500_000}, [("x-request-id", "large")])
        assert (large.status, large.json()["error"]["type"]) == (507, "insufficient_storage")
        _limit_files(gateway, resource.RLIM_INFINITY)
        assert [gateway.row(name)["outcome"] for name in ("full", "large")] == ["completed", "gateway_failed"]
        assert gateway.ready()["journal"]["lost_calls"] == 0
        assert "Traceback" not in gateway.output


# --- SIGTERM ------------------------------------------------------------------------------------------------


def test_sigterm_lets_short_streams_end_and_ends_long_ones_itself(upstream: Upstream, tmp_path: Path) -> None:
    """gunicorn would kill at the end of its patience: no event, no row. Our own timer comes first."""
    let_go = threading.Event()

    def held_up() -> Iterator[bytes]:
        first, *others = vllm.chat_events()
        yield first
        let_go.wait(PATIENCE)
        yield from others

    upstream.on(
        "POST /v1/chat/completions",
        answers.stream(held_up()),
        answers.endless(vllm.chat_events()[1], gap=0.1),
        answers.silence(),
    )
    with Gateway(HOSTED_VLLM_API_BASE=upstream.url, data_dir=tmp_path, GATEWAY_GRACE_SECONDS="5") as gateway:
        idle = gateway.connect()
        short, long, headless = (_arrived(gateway, upstream, name) for name in ("short", "long", "headless"))
        with idle, short, long, headless:
            pids = gateway.pids().all()
            gateway.terminate()
            began = time.monotonic()
            wait_for(lambda: not _takes_calls(gateway))
            let_go.set()
            first, second, third = (client.read_response() for client in (short, long, headless))
            assert first.end == "clean"
            assert short.wait_for_end() == "fin"  # or it would hold up the stop until its keep-alive is over
            assert second.end == "cut"
            assert json.loads(second.events()[-1])["error"]["type"] == "not_serving"
            assert (third.status, third.json()["error"]["type"]) == (503, "not_serving")
            assert gateway.wait_for_exit() == 0
            assert time.monotonic() - began < KEEPALIVE_SECONDS - 1
        assert not any(map(is_alive, pids))
        outcomes = {row["request_id"]: row["outcome"] for row in gateway.recorded()}
        assert {name: outcomes[name] for name in ("short", "long", "headless")} == {
            "short": "completed",
            "long": "drained",
            "headless": "drained",
        }
    assert "Traceback" not in gateway.output


def _takes_calls(gateway: Gateway) -> bool:
    """Whether a new connection gets its call passed on; while draining it gets none, or a 503."""
    try:
        return gateway.call("GET", "/vllm/version", timeout=2).status == 200
    except (OSError, PeerClosed):
        return False


# --- One of them dies ---------------------------------------------------------------------------------------


def test_a_control_plane_that_dies_is_started_again_while_calls_go_on(upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", answers.endless(vllm.chat_events()[1], gap=0.02))
    with Gateway(HOSTED_VLLM_API_BASE=upstream.url) as gateway, _begin(gateway, "goes-on") as client:
        chunks = client.read_chunks(client.read_head())
        secret = gateway.make_key()
        before = gateway.pids()
        for pid in (*before.control_workers, before.control_master):
            os.kill(pid, signal.SIGKILL)
        away = gateway.call("GET", "/admin/login/")
        assert (away.status, away.json()["error"]["type"]) == (503, "control_plane_away")
        assert gateway.call("GET", "/vllm/version", key=secret).status == 200
        wait_for(lambda: next(chunks).data and gateway.pids().control_master not in {0, before.control_master})
        wait_for(lambda: next(chunks).data and gateway.call("GET", "/admin/login/").status == 200)
        assert gateway.pids().relay_workers == before.relay_workers

        # The relay's worker dies: another takes its place, and the stream's call is lost.
        os.kill(before.relay, signal.SIGKILL)
        wait_for(lambda: gateway.pids().relay_workers not in {(), before.relay_workers})
        wait_for(lambda: _takes_calls(gateway))
        assert gateway.row("goes-on")["outcome"] == "lost"

        # The relay itself dies: the command ends with its status, and leaves nothing behind.
        pids = gateway.pids()
        os.kill(pids.relay_master, signal.SIGKILL)
        assert gateway.wait_for_exit() == 128 + signal.SIGKILL
        wait_for(lambda: not any(map(is_alive, pids.all())))


def test_nothing_outlives_a_supervisor_that_is_killed(upstream: Upstream) -> None:
    with Gateway(HOSTED_VLLM_API_BASE=upstream.url) as gateway:
        pids = gateway.pids().all()
        os.kill(pids[0], signal.SIGKILL)
        gateway.wait_for_exit()
        wait_for(lambda: not any(map(is_alive, pids)))


# --- One plane alone ----------------------------------------------------------------------------------------


def test_either_plane_runs_alone(upstream: Upstream, tmp_path: Path) -> None:
    settings = {"HOSTED_VLLM_API_BASE": upstream.url}
    with Gateway(planes=["--relay"], data_dir=tmp_path, **settings) as relay:
        assert relay.call("GET", "/vllm/version").status == 200
        assert relay.call("GET", "/admin/").status == 503
        assert relay.pids().control_master == 0
        control = Gateway(planes=["--control"], data_dir=tmp_path, database=relay.database_url, port=relay.port)
        control.start()
        try:
            wait_for(lambda: relay.call("GET", "/admin/login/").status == 200)
            secret = relay.make_key()
            assert relay.call("GET", "/vllm/version", key=secret).status == 200
            assert control.pids().relay_master == 0
            beside = Gateway(data_dir=tmp_path, database=relay.database_url)
            assert beside.run_to_end() == 1
            assert "control plane runs already" in relay.output.splitlines()[-1]
            assert relay.call("GET", "/admin/login/").status == 200
        finally:
            assert control.stop() == 0
        assert relay.call("GET", "/vllm/version", key=secret).status == 200
        assert relay.row(relay.call("GET", "/vllm/version"))["outcome"] == "completed"


def test_the_second_of_two_on_one_port_says_so_and_the_first_stops_at_once(upstream: Upstream) -> None:
    """Kept-alive connections hold up nothing."""
    with Gateway(HOSTED_VLLM_API_BASE=upstream.url) as first, first.connect() as client:
        second = Gateway(port=first.port)
        assert second.run_to_end() == 1
        assert second.output.count("\n") == 1
        assert f"PORT {first.port}" in second.output
        client.request("GET", "/vllm/version", first.headers())
        assert client.read_response().status == 200
        began = time.monotonic()
        assert first.stop() == 0
        assert time.monotonic() - began < KEEPALIVE_SECONDS
