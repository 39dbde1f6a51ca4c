"""Counters that all processes share, in Redis (5 or newer, or what speaks as it does). It may lose all of them.

Of each counter there is a number that lives as long as its window, and a hash of what leases hold. Scripts change them
in one step, by Redis' own clock. All names have one hash tag, so that a cluster keeps them together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any

from redis import Redis, RedisError, ResponseError
from redis.backoff import NoBackoff
from redis.retry import Retry

from keys.counters.charge import Charge, Standing
from keys.counters.redis_scripts import BOOK, PROLONG, TAKE
from keys.counters.shared import Batch, Held, SharedCounters, StoreAway

if TYPE_CHECKING:
    from redis.commands.core import Script

PREFIX = "vgw:{limits}:"
AT_ONCE = 16
"""Calls that ask at the same time; each needs a connection."""

TIMEOUT = 2.0  # seconds; shorter, and a busy machine would be taken for a Redis that is away
BATCH_SECONDS = 600
"""How long a batch that was booked is known, in case it comes again."""


class RedisCounters(SharedCounters):
    """As `Counters`. `url` as redis-py reads it: redis://, rediss:// for TLS, unix://."""

    store = "redis"
    _title = "Redis"

    def __init__(self, url: str, *, timeout: float = TIMEOUT, **options: Any) -> None:
        super().__init__(**options)
        self._redis = _client(url, timeout)
        self._turns = BoundedSemaphore(AT_ONCE)
        self._take_script = self._redis.register_script(TAKE)
        self._book_script = self._redis.register_script(BOOK)
        self._prolong_script = self._redis.register_script(PROLONG)

    def _take_all(self, lease_id: str, charges: Sequence[Charge]) -> list[Standing]:
        names = [name for charge in charges for name in (_window(charge.counter), _leases(charge.counter))]
        values: list[str | int] = [f":{lease_id}", _milliseconds(self._lifetime)]
        for charge in charges:
            values += (charge.amount, charge.ceiling, charge.floor, _length(charge.seconds))
            values += (int(charge.held), int(charge.elastic), int(charge.enforced))
        with self._turns:
            if self.is_degraded:  # since it waited: they need not find out one after the other
                raise StoreAway("others found out")
            told = self._run(self._take_script, names, values)
        if told[0] == 0:
            _, place, used, left = told
            raise charges[place - 1].exceeded(used, _seconds(left))
        rows = zip(*(iter(told[1:]),) * 4, strict=True)
        return [Standing(used, _seconds(left), taken, bool(exceeded)) for used, left, taken, exceeded in rows]

    def _book(self, batch: Batch, now: float) -> None:
        names = [f"{PREFIX}batch:{batch.name}"]
        values: list[str | int] = [BATCH_SECONDS]
        for call in batch.calls:
            spent = list(call.still_counting(now))
            names += (_leases(counter) for counter in call.counters)
            names += (_window(one.counter) for one in spent)
            values += (f":{call.lease_id}", len(call.counters), len(spent))
            for one in spent:
                values += (one.amount, _length(one.seconds))
        self._run(self._book_script, names, values)

    def _prolong(self, held: Held) -> None:
        names: list[str] = []
        values: list[str | int] = [_milliseconds(self._lifetime)]
        for lease_id, counters in held.items():
            for counter, amount in counters.items():
                names.append(_leases(counter))
                values += (f":{lease_id}", amount)
        self._run(self._prolong_script, names, values)

    def _ping(self) -> None:
        try:
            self._redis.ping()
        except (RedisError, OSError) as error:
            raise _away(error) from error

    def _tidy(self) -> None:
        """Everything expires by itself."""

    @staticmethod
    def _run(script: Script, names: list[str], values: list[str | int]) -> Any:
        """What the script answers. Raises StoreAway."""
        try:
            return script(keys=names, args=values)
        except (RedisError, OSError) as error:
            raise _away(error) from error


def _client(url: str, timeout: float) -> Redis:
    """It never tries twice: what is sent again would count twice, and a call would wait."""
    return Redis.from_url(
        url,
        max_connections=AT_ONCE + 4,  # and what flushes and renews
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )


def _away(error: Exception) -> StoreAway:
    """Told by the kind of the error, and the word by which Redis names its own: never by what may hold an address."""
    word = str(error).partition(" ")[0] if isinstance(error, ResponseError) else ""
    return StoreAway(f"{type(error).__name__} {word}" if word.isupper() else type(error).__name__)


def _window(counter: str) -> str:
    return f"{PREFIX}used:{counter}"


def _leases(counter: str) -> str:
    return f"{PREFIX}held:{counter}"


def _length(seconds: float | None) -> str | int:
    """Of a window: "" is for ever, 0 is none."""
    return "" if seconds is None else _milliseconds(seconds)


def _milliseconds(seconds: float) -> int:
    return math.ceil(seconds * 1000)


def _seconds(milliseconds: int) -> float | None:
    return None if milliseconds < 0 else milliseconds / 1000
