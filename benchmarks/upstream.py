"""The benchmark's upstream: one process that answers chat in vLLM's format as cheaply as Python can.

A stream sends one HTTP chunk for each event at the rate that the request names (`tokens_per_second`), and each
token carries the time of its sending. Knows nothing of the gateway or of what is measured.

    python -m benchmarks.upstream      prints {"port": …}; ends when its standard input ends
"""

from __future__ import annotations

import json
import re
import select
import signal
import socket
import sys
import time
from collections import deque
from typing import Any

from benchmarks import stamps
from benchmarks.limits import raise_open_files

_HEAD = b"HTTP/1.1 200 OK\r\ndate: Fri, 20 Nov 2026 22:46:44 GMT\r\nserver: uvicorn\r\nvary: Origin\r\n"
_STREAM_HEAD = _HEAD + b"content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_ENVELOPE = b'{"id":"chatcmpl-88c31022cfabdf22","object":"%b","created":1795214804,"model":"bench-chat","choices":['
_USAGE = b'"usage":{"prompt_tokens":13,"total_tokens":%d,"completion_tokens":%d,"prompt_tokens_details":%b'
_CACHED = b'{"cached_tokens":0,"created_cache_tokens":0}'
_WORDS = b" wasmall foratus mode cho warm bepro clientnesdaycri"
_GIVE_UP = 0.25  # seconds behind its schedule after which a stream skips beats instead of bursting


def _json_answer(body: bytes) -> bytes:
    return _HEAD + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def _chunk(event: bytes) -> bytes:
    data = b"data: " + event + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


def _plain(tokens: int) -> bytes:
    """A whole chat completion, some 700 bytes."""
    message = b'"message":{"role":"assistant","content":"%b","refusal":null,"reasoning":null}' % _WORDS
    choice = b'{"index":0,%b,"logprobs":null,"finish_reason":"length","stop_reason":null,"token_ids":null}' % message
    rest = b',"service_tier":null,"system_fingerprint":"vllm-0.32.0-85c684f2",'
    usage = _USAGE % (13 + tokens, tokens, _CACHED) + b',"completion_tokens_details":null}}'
    return _json_answer(_ENVELOPE % b"chat.completion" + choice + b"]" + rest + usage)


def _around_stamp(finish: bytes) -> tuple[bytes, bytes]:
    """What stands before and after the stamp in a token's chunk."""
    choice = b'{"index":0,"delta":{%b%b"},"logprobs":null,%b,"token_ids":null}]}'
    event = _ENVELOPE % b"chat.completion.chunk" + choice % (stamps.MARK, stamps.EMPTY, finish)
    before, after = _chunk(event).split(stamps.EMPTY)
    return before, after


_TOKEN = _around_stamp(b'"finish_reason":null')
_LAST_TOKEN = _around_stamp(b'"finish_reason":"length","stop_reason":null')
_ROLE = _chunk(
    _ENVELOPE % b"chat.completion.chunk"
    + b'{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],'
    + b'"prompt_token_ids":null,"prompt_text":null}'
)
_DONE = _chunk(b"[DONE]") + b"0\r\n\r\n"
_FIXED = {
    b"/v1/models": _json_answer(b'{"object":"list","data":[{"id":"bench-chat","object":"model","owned_by":"vllm"}]}'),
    b"/version": _json_answer(b'{"version":"0.32.0"}'),
    b"/health": _HEAD + b"content-length: 0\r\n\r\n",
    b"/metrics": _HEAD + b"content-type: text/plain; version=1.0.0; charset=utf-8\r\ncontent-length: 0\r\n\r\n",
}
_NOT_FOUND = _json_answer(b'{"detail":"Not Found"}').replace(b"200 OK", b"404 Not Found")


def _usage_chunk(tokens: int) -> bytes:
    return _chunk(_ENVELOPE % b"chat.completion.chunk" + b"]," + _USAGE % (13 + tokens, tokens, _CACHED) + b"}}")


class _Connection:
    __slots__ = ("due", "inbox", "interval", "left", "open", "outbox", "sock", "tokens", "wants_usage")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.inbox = b""
        self.outbox = b""
        self.open = True
        self.left = self.tokens = 0
        self.due = self.interval = 0.0
        self.wants_usage = False


class BenchmarkUpstream:
    """Serves until `lifeline`, a file descriptor, is at its end."""

    def __init__(self, lifeline: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self._lifeline = lifeline
        self._poll = select.epoll()
        self._poll.register(self._listener, select.EPOLLIN)
        self._poll.register(lifeline, select.EPOLLIN)
        self._connections: dict[int, _Connection] = {}
        # One queue for each rate: within it the next token due is always on the left.
        self._queues: dict[float, deque[_Connection]] = {}

    def run(self) -> None:
        """Serves until the lifeline ends."""
        while True:
            for number, events in self._poll.poll(self._time_to_next(), 512):
                if number == self._lifeline:
                    return
                connection = self._connections.get(number)
                if connection is None:
                    self._accept()
                elif events & select.EPOLLOUT:
                    self._flush(connection)
                else:
                    self._receive(connection)
            self._send_due()

    def _time_to_next(self) -> float | None:
        due = min((queue[0].due for queue in self._queues.values() if queue), default=None)
        return None if due is None else max(0.0, due - time.monotonic())

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections[sock.fileno()] = _Connection(sock)
            self._poll.register(sock, select.EPOLLIN)

    def _receive(self, connection: _Connection) -> None:
        try:
            data = connection.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
            return
        connection.inbox += data
        while connection.open and (request := self._next_request(connection)):
            self._answer(connection, *request)

    def _next_request(self, connection: _Connection) -> tuple[bytes, bytes] | None:
        """Target and body of the next request, once it is there as a whole."""
        head, blank, rest = connection.inbox.partition(b"\r\n\r\n")
        if not blank:
            return None
        if _CHUNKED.search(head):
            if not rest.endswith(b"0\r\n\r\n"):
                return None
            body, connection.inbox = _unchunked(rest), b""
        else:
            found = _LENGTH.search(head)
            length = int(found[1]) if found else 0
            if len(rest) < length:
                return None
            body, connection.inbox = rest[:length], rest[length:]
        return head.split(b" ", 2)[1], body

    def _answer(self, connection: _Connection, target: bytes, body: bytes) -> None:
        if target != b"/v1/chat/completions":
            self._send(connection, _FIXED.get(target, _NOT_FOUND))
            return
        asked = json.loads(body)
        if asked.get("stream"):
            self._open_stream(connection, asked)
        else:
            self._send(connection, _plain(int(asked.get("max_tokens") or 12)))

    def _open_stream(self, connection: _Connection, asked: dict[str, Any]) -> None:
        connection.left = connection.tokens = int(asked["max_tokens"])
        connection.interval = 1 / float(asked["tokens_per_second"])
        connection.wants_usage = bool((asked.get("stream_options") or {}).get("include_usage"))
        connection.due = time.monotonic()
        self._send(connection, _STREAM_HEAD)
        self._send(connection, _ROLE)
        if self._send_token(connection):
            connection.due += connection.interval
            self._queues.setdefault(connection.interval, deque()).append(connection)

    def _send_due(self) -> None:
        now = time.monotonic()
        for queue in self._queues.values():
            while queue and queue[0].due <= now:
                connection = queue.popleft()
                if not connection.open:
                    continue
                if connection.outbox:  # the reader is slow: a beat is skipped, not a token
                    connection.due = now + connection.interval
                elif not self._send_token(connection):
                    continue
                elif now - connection.due > _GIVE_UP:
                    connection.due = now + connection.interval
                else:
                    connection.due += connection.interval
                queue.append(connection)

    def _send_token(self, connection: _Connection) -> bool:
        """Sends one token, and the end after the last one. Whether more are to come."""
        connection.left -= 1
        if connection.left > 0:
            self._send(connection, b"%b%019d%b" % (_TOKEN[0], time.monotonic_ns(), _TOKEN[1]))
            return connection.open
        self._send(connection, b"%b%019d%b" % (_LAST_TOKEN[0], time.monotonic_ns(), _LAST_TOKEN[1]))
        if connection.wants_usage:
            self._send(connection, _usage_chunk(connection.tokens))
        self._send(connection, _DONE)
        return False

    def _send(self, connection: _Connection, data: bytes) -> None:
        if connection.outbox:
            connection.outbox += data
            return
        try:
            sent = connection.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(connection)
            return
        if sent < len(data):
            connection.outbox = data[sent:]
            self._poll.modify(connection.sock, select.EPOLLIN | select.EPOLLOUT)

    def _flush(self, connection: _Connection) -> None:
        data, connection.outbox = connection.outbox, b""
        self._poll.modify(connection.sock, select.EPOLLIN)
        self._send(connection, data)

    def _drop(self, connection: _Connection) -> None:
        if connection.open:
            connection.open = False
            del self._connections[connection.sock.fileno()]
            connection.sock.close()


def _unchunked(framed: bytes) -> bytes:
    body = b""
    while framed:
        size, _, framed = framed.partition(b"\r\n")
        length = int(size, 16)
        body, framed = body + framed[:length], framed[length + 2 :]
    return body


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process by ending its input
    raise_open_files()
    upstream = BenchmarkUpstream(sys.stdin.fileno())
    print(json.dumps({"port": upstream.port}), flush=True)
    upstream.run()


if __name__ == "__main__":
    main()
