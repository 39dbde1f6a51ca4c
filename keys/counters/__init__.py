"""How much of each ceiling is in use. A call takes all of its charges in one atomic step, or none.

Knows no limit and no key: a charge names its counter. Three kinds keep the same promises: in memory for the one relay
worker that there is with SQLite; in PostgreSQL, or in Redis, shared by all workers of all nodes, where what an open
call holds is a lease that runs out by itself when its holder is killed.
"""

from django.conf import settings

from keys.counters.charge import Charge, Spent, Standing, merged, rate_headers
from keys.counters.memory import MemoryCounters
from keys.counters.postgresql import PostgresCounters
from keys.counters.protocol import Counters

__all__ = [
    "Charge",
    "Counters",
    "MemoryCounters",
    "PostgresCounters",
    "Spent",
    "Standing",
    "make_counters",
    "merged",
    "rate_headers",
]


def make_counters() -> Counters:
    """The counters that fit the settings."""
    if settings.EMBEDDED:
        return MemoryCounters()
    if not settings.REDIS_URL:
        return PostgresCounters()
    from keys.counters.redis import RedisCounters  # some 20 MB that are needed here only

    return RedisCounters(settings.REDIS_URL)
