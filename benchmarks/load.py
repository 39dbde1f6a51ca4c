"""The load generator: one process with many connections that make calls or hold streams, and count.

Checks what it receives (status, number of tokens, [DONE], a clean end, no usage that was not asked for) and measures
only inside its window. Knows neither the gateway nor the goals. Ends when its standard input ends, or at its deadline.

    python -m benchmarks.load      says "ready", reads one line of JSON, a Plan, and prints one, a Result
"""

from __future__ import annotations

import base64
import errno
import json
import re
import select
import signal
import socket
import sys
import time
from array import array
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from benchmarks import stamps
from benchmarks.limits import raise_open_files
from benchmarks.processes import Child

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_END = b"0\r\n\r\n"
_SECOND = 1_000_000_000


@dataclass
class Plan:
    """What one generator does. Times are `time.monotonic()` seconds.

    "calls": `slots` connections that each make one short call after the other until the window ends.
    "streams": `slots` connections, started evenly from `start_at` to `window_from`, each holding one stream of
    `rate` tokens a second until shortly after the window's end.
    """

    kind: Literal["calls", "streams"]
    port: int
    target: str
    slots: int
    start_at: float
    window_from: float
    window_to: float
    rate: float = 0.0
    key: str = ""
    host: str = "127.0.0.1"
    patience: float = 10.0  # seconds after the window for what is still open


@dataclass
class Result:
    """What was counted: calls or streams that ended well, chunks (tokens) in the window and in all, times in
    milliseconds (of the window, but TTFT of every stream), and how often what went wrong."""

    completed: int = 0
    in_window: int = 0
    tokens: int = 0
    tokens_asked: int = 0
    latency_ms: array[float] = field(default_factory=lambda: array("f"))
    lag_ms: array[float] = field(default_factory=lambda: array("f"))
    ttft_ms: array[float] = field(default_factory=lambda: array("f"))
    errors: Counter[str] = field(default_factory=Counter)

    def dump(self) -> str:
        """As one line of JSON."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return json.dumps(
            {
                name: base64.b64encode(value.tobytes()).decode() if isinstance(value, array) else value
                for name, value in values.items()
            }
        )

    @classmethod
    def load(cls, line: str) -> Result:
        """From `dump`."""
        result = cls()
        for name, value in json.loads(line).items():
            if isinstance(value, str):
                getattr(result, name).frombytes(base64.b64decode(value))
            else:
                setattr(result, name, Counter(value) if name == "errors" else value)
        return result

    def add(self, other: Result) -> None:
        """Adds another generator's counts."""
        for name in self.__dataclass_fields__:
            mine = getattr(self, name)
            mine += getattr(other, name)
            setattr(self, name, mine)


class Slot:
    """One connection. `readable` is called when bytes are there and reads once."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0

    def send(self, body: dict[str, Any]) -> None:
        plan = self.generator.plan
        data = json.dumps(body).encode()
        head = (
            f"POST {plan.target} HTTP/1.1\r\nHost: {plan.host}:{plan.port}\r\nAuthorization: Bearer {plan.key}\r\n"
            "Accept: application/json\r\nUser-Agent: benchmarks/1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\n\r\n"
        )
        self.sent_at = time.monotonic_ns()
        self.sock.send(head.encode() + data)

    def begin(self) -> None:
        """Sends the (first) request."""
        raise NotImplementedError

    def readable(self) -> None:
        raise NotImplementedError

    def fail(self, reason: str) -> None:
        """Counts one error and gives the connection up."""
        self.generator.result.errors[reason] += 1
        self.generator.drop(self)


_MESSAGES = [{"role": "user", "content": "Tell me a story about a gateway that lost nothing."}]


class CallSlot(Slot):
    """Makes one short call after the other."""

    inbox = b""

    def begin(self) -> None:
        self.inbox = b""
        self.send({"model": "bench-chat", "messages": _MESSAGES, "max_tokens": 12})

    def readable(self) -> None:
        data = self.sock.recv(65536)
        self.inbox += data
        if not data:
            self.fail("cut")
        elif self._is_whole():
            self._finish(time.monotonic_ns())

    def _is_whole(self) -> bool:
        head, blank, body = self.inbox.partition(b"\r\n\r\n")
        if not blank:
            return False
        found = _LENGTH.search(head)
        return len(body) >= int(found[1]) if found else body.endswith(_END)

    def _finish(self, now: int) -> None:
        generator = self.generator
        if not self.inbox.startswith(b"HTTP/1.1 200 ") or b'"completion_tokens":12' not in self.inbox:
            self.fail(f"status {self.inbox[9:12].decode()}")
            return
        generator.result.completed += 1
        if generator.window_from <= self.sent_at and now <= generator.window_to:
            generator.result.in_window += 1
            generator.result.latency_ms.append((now - self.sent_at) / 1e6)
        if now < generator.window_to:
            self.begin()
        else:
            generator.drop(self)


class StreamSlot(Slot):
    """Holds one stream."""

    def __init__(self, generator: Generator) -> None:
        super().__init__(generator)
        self.tokens = 0
        self.asked = 0
        self.rest = b""
        self.previous = b""
        self.others = b""  # what held no token: role, usage, [DONE]
        self.has_head = False

    def begin(self) -> None:
        plan = self.generator.plan
        seconds = plan.window_to + 0.5 - time.monotonic()
        self.asked = max(1, int(seconds * plan.rate) + 1)
        self.generator.result.tokens_asked += self.asked
        length = {"max_tokens": self.asked, "tokens_per_second": plan.rate}
        self.send({"model": "bench-chat", "messages": _MESSAGES, "stream": True, **length})

    def readable(self) -> None:  # noqa: C901
        """The hot path, so it stays in one piece: read, stamp, cut off what is not yet a whole event, count."""
        data = self.sock.recv(16384)
        now = time.monotonic_ns()
        if not data:
            self.fail("cut")
            return
        if self.rest:
            data = self.rest + data
            self.rest = b""
        if not self.has_head:
            head, blank, data = data.partition(b"\r\n\r\n")
            if not blank:
                self.rest = head
                return
            if not head.startswith(b"HTTP/1.1 200 "):
                self.fail(f"status {head[9:12].decode()}")
                return
            self.has_head = True
        if not data.endswith(b"\n\n\r\n"):
            end = data.rfind(b"\n\n") + 2
            if end == 1:
                end = 0
            self.rest = data[end:]
        pieces = data.split(stamps.MARK)
        whole = len(pieces) - 1
        if self.rest and stamps.MARK in self.rest:
            whole -= 1  # its event is cut: it is counted when its end is there
        if whole:
            generator = self.generator
            result = generator.result
            if not self.tokens:
                result.ttft_ms.append((now - self.sent_at) / 1e6)
            self.tokens += whole
            if generator.window_from <= now < generator.window_to:
                result.in_window += whole
                for piece in pieces[1 : whole + 1]:
                    result.lag_ms.append((now - int(piece[: stamps.WIDTH])) / 1e6)
        else:
            self.others += data
        if self.rest.endswith(_END):
            self._finish(self.others + self.previous + data)
        self.previous = data

    def _finish(self, tail: bytes) -> None:
        if self.tokens != self.asked:
            self.fail("wrong number of tokens")
        elif b"data: [DONE]\n\n" not in tail:
            self.fail("no [DONE]")
        elif b'"usage":{' in tail:
            self.fail("usage that was not asked for")
        else:
            self.generator.result.completed += 1
            self.generator.drop(self)

    def fail(self, reason: str) -> None:
        self.generator.result.tokens += self.tokens
        self.tokens = 0
        super().fail(reason)


class Generator:
    """Carries a plan out."""

    def __init__(self, plan: Plan, lifeline: int | None = None) -> None:
        self.plan = plan
        self.result = Result()
        self.window_from = int(plan.window_from * _SECOND)
        self.window_to = int(plan.window_to * _SECOND)
        self._slots: dict[int, Slot] = {}
        self._poll = select.epoll()
        self._lifeline = lifeline
        self.abandoned = False  # the lifeline has ended: nobody waits for the result
        if lifeline is not None:
            self._poll.register(lifeline, select.EPOLLIN)

    def run(self) -> Result:
        """Returns what was counted, at the latest `patience` seconds after the window."""
        plan = self.plan
        ramp = plan.window_from - plan.start_at if plan.kind == "streams" else 0.0
        starts = deque(plan.start_at + ramp * number / plan.slots for number in range(plan.slots))
        deadline = plan.window_to + plan.patience
        while (starts or self._slots) and not self.abandoned:
            now = time.monotonic()
            if now > deadline:
                break
            while starts and starts[0] <= now:
                starts.popleft()
                self._connect()
            self._turn((starts[0] if starts else deadline) - now)
        for slot in list(self._slots.values()):
            slot.fail("not ended in time")
        self._poll.close()
        return self.result

    def _turn(self, seconds: float) -> None:
        for number, events in self._poll.poll(max(0.0, seconds), 512):
            if number == self._lifeline:
                self.abandoned = True
                return
            slot = self._slots.get(number)
            if slot is None:
                continue
            try:
                if events & select.EPOLLOUT:
                    self._poll.modify(slot.sock, select.EPOLLIN)
                    slot.begin()
                else:
                    slot.readable()
            except BlockingIOError:
                continue
            except OSError as error:
                slot.fail(errno.errorcode.get(error.errno or 0, "OSError"))

    def _connect(self) -> None:
        slot = CallSlot(self) if self.plan.kind == "calls" else StreamSlot(self)
        self._slots[slot.sock.fileno()] = slot
        slot.sock.connect_ex((self.plan.host, self.plan.port))
        self._poll.register(slot.sock, select.EPOLLOUT)

    def drop(self, slot: Slot) -> None:
        """Closes a slot's connection."""
        if isinstance(slot, StreamSlot):
            self.result.tokens += slot.tokens
        del self._slots[slot.sock.fileno()]
        slot.sock.close()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process by ending its input
    raise_open_files()
    print("ready", flush=True)
    if not (plan := sys.stdin.readline()):
        return
    generator = Generator(Plan(**json.loads(plan)), sys.stdin.fileno())
    result = generator.run()
    if not generator.abandoned:
        print(result.dump(), flush=True)


def started() -> Child:
    """A generator process that is ready for its plan."""
    child = Child([sys.executable, "-m", "benchmarks.load"])
    child.line()
    return child


def begin(child: Child, plan: Plan) -> None:
    """Gives it its plan."""
    child.say(json.dumps(asdict(plan)))


if __name__ == "__main__":
    main()
