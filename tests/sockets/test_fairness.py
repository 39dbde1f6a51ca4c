"""No call keeps the others waiting."""

from __future__ import annotations

import contextlib
import threading
import time

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


def test_a_client_that_never_pauses_leaves_room_for_others(gateway: Gateway) -> None:
    """In tiny chunks, which cost the most to read, and with no key: the control plane's bodies are anybody's."""
    head = b"POST /admin/login/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with gateway.connect(timeout=30) as client:
        over = threading.Event()
        sender = threading.Thread(target=_send_and_wait, args=(client, head + b"1\r\nx\r\n" * 300_000, over))
        sender.start()
        try:
            assert gateway.call("GET", "/healthz").status == 200
            assert not over.is_set()
        finally:
            sender.join()


def test_a_head_in_tiny_pieces_leaves_room_for_others(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.send(b"GET / HTTP/1.1\r\n" + b"".join(b"x-%d: %b\r\n" % (n, b"a" * 30_000) for n in range(4)))
        over = threading.Event()
        sender = threading.Thread(target=_drip, args=(client, over))
        sender.start()
        try:
            for _ in range(10):
                assert gateway.call("GET", "/healthz").status == 200  # the attack goes on until after the last
        finally:
            over.set()
            sender.join()


def _send_and_wait(client: HttpClient, data: bytes, over: threading.Event) -> None:
    client.send(data + b"0\r\n\r\n")
    client.read_head()
    over.set()


def _drip(client: HttpClient, over: threading.Event) -> None:
    with contextlib.suppress(OSError):  # it is too long in the end
        while not over.is_set():
            client.send(b"x")
            time.sleep(0.0002)


def _read_to_the_end(client: HttpClient, over: threading.Event) -> None:
    while not client.read_some(1_000_000).endswith(b"0\r\n\r\n"):
        pass
    over.set()
