"""No call keeps the others waiting."""

from __future__ import annotations

import threading

from tests.support import answers
from tests.support.gateway import Gateway
from tests.support.upstream import Upstream


def test_an_upstream_that_never_pauses_leaves_room_for_other_calls(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("GET /v1/flood", answers.endless(b"x" * 65_536))
    client = gateway.connect(timeout=5)
    client.request("GET", "/vllm/v1/flood", gateway.headers())
    client.read_head()
    stop = threading.Event()
    reader = threading.Thread(target=lambda: _read_until(client, stop))
    reader.start()
    try:
        assert [gateway.call("GET", "/vllm/version").status for _ in range(5)] == [200] * 5
    finally:
        stop.set()
        reader.join()
        client.close()


def _read_until(client, stop: threading.Event) -> None:
    while not stop.is_set():
        client.read_some(1_000_000)
