"""What an active capture costs the calls that it captures: `python -m benchmarks.captures [seconds]`.

Measures short calls and streams without a capture, and again while one captures all of them, at the same gateway.
Prints the relay worker's CPU for each call or chunk (which holds on a busy machine too), how late chunks come, and how
many payloads were kept; then what taking secrets out and encrypting costs by size, in this process. Ends whatever it
started.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from benchmarks.gateway import Gateway
from benchmarks.limits import raise_open_files
from benchmarks.measuring import UPSTREAM, Measurement, Target, measure
from benchmarks.processes import Child

SECONDS = 4.0
LONGEST = 60.0
CLIENTS, STREAMS, TOKENS_A_SECOND = 8, 50, 50
SIZES = (1_000, 16_000, 256_000)  # the largest is what is kept of a body, unless it is set
_PATH = "/v1/chat/completions"
_KNOWN_WITHIN = 2.0  # seconds until the relay knows of the capture
_START = """
INSERT INTO gateway_payloadcapture (model, key_name, reason, most_calls, started_by, starts_at, ends_at, stopped_by)
VALUES ('bench-chat', '', 'What it costs.', 1000000, 'benchmark', ?, ?, '')
"""


def main(seconds: float) -> int:
    """Returns the exit status."""
    raise_open_files()
    with ExitStack() as stack:
        upstream = Child([sys.executable, "-m", "benchmarks.upstream"])
        stack.callback(upstream.end)
        gateway = stack.enter_context(Gateway(json.loads(upstream.line())["port"]))
        target = Target("gateway", gateway.port, f"/vllm{_PATH}", gateway.key, lambda: {
            **gateway.roles(), upstream.pid: UPSTREAM
        })  # fmt: skip
        found = {"without": both(target, seconds)}
        start(gateway.data_dir / "db.sqlite3")
        found["while captured"] = both(target, seconds)
        kept = payloads(gateway.data_dir / "db.sqlite3")
    print(f"{'':<16}{'CPU a call':>12}{'p50':>10}{'CPU a chunk':>14}{'lag p99':>10}{'failed':>8}")
    for name, (calls, streams) in found.items():
        print(
            f"{name:<16}{calls.relay_cpu_each * 1e3:>9.2f} ms{calls.p50:>7.1f} ms"
            f"{streams.relay_cpu_each * 1e6:>11.1f} µs{streams.p99:>7.1f} ms{calls.failed + streams.failed:>8}"
        )
    print(f"\n{kept:,} payloads kept of {sum(one.completed for one in found['while captured']):,} calls")
    by_size()
    return 0 if kept else 1


def by_size() -> None:
    """Prints the CPU for one body: prompts as programs send them, and answers as streams bring them."""
    from cryptography.fernet import Fernet

    from gateway.capture.redacting import redact

    prompt = json.dumps(
        {"messages": [{"role": "user", "content": "A user asks for a story and more. " * 8_000}]}
    ).encode()
    event = {"choices": [{"index": 0, "delta": {"content": " word"}, "logprobs": None, "finish_reason": None}]}
    stream = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for _ in range(2_500))
    fernet = Fernet(Fernet.generate_key())
    print(f"\n{'CPU of one body':<24}{'secrets out':>14}{'encrypted':>12}")
    for size in SIZES:
        for name, body in (("prompt", prompt[:size]), ("stream", stream[:size])):
            cleaned = best(partial(redact, body, (), is_cut=True))
            encrypted = best(partial(fernet.encrypt, body))
            print(f"{f'{name}, {size // 1000:,} kB':<24}{cleaned:>11.2f} ms{encrypted:>9.2f} ms")


def best(act: Callable[[], object]) -> float:
    """CPU in ms, the least of several times."""
    times = []
    for _ in range(9):
        began = time.process_time()
        act()
        times.append(time.process_time() - began)
    return min(times) * 1e3


def both(target: Target, seconds: float) -> tuple[Measurement, Measurement]:
    """Short calls, then streams."""
    calls = measure(target, kind="calls", slots=CLIENTS, rate=0, ramp=0.3, seconds=seconds)
    streams = measure(target, kind="streams", slots=STREAMS, rate=TOKENS_A_SECOND, ramp=0.5, seconds=seconds)
    return calls, streams


def start(database: Path) -> None:
    """A capture of all that the load asks for, which the relay knows of when this returns."""
    now = datetime.now(UTC)
    times = [f"{at:%Y-%m-%d %H:%M:%S}" for at in (now - timedelta(minutes=1), now + timedelta(hours=1))]
    with closing(sqlite3.connect(database, timeout=20)) as connection, connection:
        connection.execute(_START, times)
    time.sleep(_KNOWN_WITHIN)


def payloads(database: Path) -> int:
    """How many were kept, once the last are written."""
    time.sleep(1.0)
    with closing(sqlite3.connect(database, timeout=20)) as connection:
        return int(connection.execute("SELECT count(*) FROM gateway_capturedpayload").fetchone()[0])


if __name__ == "__main__":
    sys.exit(main(min(LONGEST, float(sys.argv[1])) if len(sys.argv) > 1 else SECONDS))
