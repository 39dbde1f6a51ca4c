"""No call keeps the others waiting."""

from __future__ import annotations

import threading

from tests.support import answers
from tests.support.gateway import Gateway
from tests.support.http_client import HttpClient
from tests.support.upstream import Upstream

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = 60_000


def test_an_upstream_that_never_pauses_leaves_room_for_other_calls(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("GET /v1/flood", answers.raw(HEAD + b"1\r\nx\r\n" * CHUNKS + b"0\r\n\r\n"))
    client = gateway.connect(timeout=30)
    client.request("GET", "/vllm/v1/flood", gateway.headers())
    client.read_head()
    over = threading.Event()
    reader = threading.Thread(target=_read_to_the_end, args=(client, over))
    reader.start()
    try:
        assert gateway.call("GET", "/vllm/version").status == 200
        assert not over.is_set()
    finally:
        reader.join()
        client.close()


def _read_to_the_end(client: HttpClient, over: threading.Event) -> None:
    while not client.read_some(1_000_000).endswith(b"0\r\n\r\n"):
        pass
    over.set()
