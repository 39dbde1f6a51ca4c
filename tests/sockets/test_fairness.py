"""No call keeps the others waiting."""

from __future__ import annotations

import contextlib
import json
import socket
import threading

from tests.support.exchange import Exchange
from tests.support.gateway import Gateway
from tests.support.http_client import HttpClient
from tests.support.upstream import Upstream

CHAT = {"model": "m", "messages": [], "stream": True}
TOKENS = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n' * 10_000
TINY_CHUNKS = b"1\r\nx\r\n" * 10_000  # both cost far more to read than to send: there is always more waiting
LAST_CHUNK = b"0\r\n\r\n"


def test_an_upstream_that_never_pauses_leaves_room_for_other_calls(gateway: Gateway, upstream: Upstream) -> None:
    """The stream ends only when the other call is over, however slow the machine is: without room, that one fails."""

    def flood(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        while True:
            exchange.send(TOKENS)

    upstream.on("POST /v1/chat/completions", flood)
    with gateway.connect(timeout=30) as client:
        client.request("POST", "/vllm/v1/chat/completions", gateway.headers(), json.dumps(CHAT).encode())
        client.read_head()
        answered = threading.Event()
        reader = threading.Thread(target=_read_until, args=(client, answered))
        reader.start()
        try:
            assert gateway.call("GET", "/vllm/version").status == 200
            assert reader.is_alive()
        finally:
            answered.set()
            reader.join()


def test_a_client_that_never_pauses_leaves_room_for_others(gateway: Gateway) -> None:
    """With no key: the control plane's bodies are anybody's. It goes on until after the other call, too."""
    answered = threading.Event()
    with gateway.connect(timeout=30) as client:
        client.send(b"POST /admin/login/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        sender = threading.Thread(target=_send_until, args=(client, answered))
        sender.start()
        try:
            assert gateway.call("GET", "/healthz").status == 200
            assert sender.is_alive()  # and was not refused in the middle
        finally:
            answered.set()
            sender.join()
        client.read_head()


def test_a_head_in_tiny_pieces_leaves_room_for_others(gateway: Gateway) -> None:
    """Each piece has the whole head looked at anew. Who is refused for its length begins another one at once."""
    over = threading.Event()
    sender = threading.Thread(target=_drip, args=(gateway, over))
    sender.start()
    try:
        for _ in range(50):
            assert gateway.call("GET", "/healthz").status == 200
    finally:
        over.set()
        sender.join()


def _send_until(client: HttpClient, answered: threading.Event) -> None:
    while not answered.is_set():
        client.send(TINY_CHUNKS)
    client.send(LAST_CHUNK)


def _drip(gateway: Gateway, over: threading.Event) -> None:
    while not over.is_set():
        with gateway.connect() as client, contextlib.suppress(OSError):  # it is too long in the end
            client.send(b"GET / HTTP/1.1\r\n" + b"".join(b"x-%d: %b\r\n" % (n, b"a" * 30_000) for n in range(4)))
            while not over.is_set():
                client.send(b"x")


def _read_until(client: HttpClient, answered: threading.Event) -> None:
    """Faster than the relay can write: the kernel drops what has come, and copies nothing (`man 7 tcp`)."""
    dropped = bytearray(4_000_000)
    while not answered.is_set():
        client.socket.recv_into(dropped, 0, socket.MSG_TRUNC)
