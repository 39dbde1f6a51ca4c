"""Charges of every kind, the stores that count them, and what tests do with both."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.conf import settings

from keys.counters import Charge, Counters, Spent, Standing
from keys.counters.shared import SharedCounters
from keys.errors import LimitExceeded
from tests.support import redis_server

ONE = Charge("key:1", 1, 1, subject="laptop", limit="max_parallel_requests")
OTHER = Charge("key:2", 1, 1)
RATE = Charge("key:1/rpm", 1, 3, held=False, seconds=60.0, counts="requests")
TOKENS = Charge("key:1/tpm", 40, 100, seconds=60.0, elastic=True, unit="tokens", counts="tokens")
BUDGET = Charge("key:1/usd", 400, 1000, seconds=None, elastic=True, unit="usd", counts="budget")

postgresql = pytest.mark.skipif(settings.EMBEDDED, reason="needs TEST_DATABASE=postgresql")
STORES = [
    pytest.param("postgresql", marks=[postgresql, pytest.mark.django_db]),
    pytest.param("redis", marks=[redis_server.needed, pytest.mark.sockets]),
]
Make = Callable[..., SharedCounters]


def is_free(counters: Counters, *charges: Charge) -> bool:
    try:
        counters.take("probe", charges)
    except LimitExceeded:
        return False
    counters.release("probe")
    return True


def take(counters: Counters, lease: str, charge: Charge) -> Standing:
    (standing,) = counters.take(lease, [charge])
    return standing


def settle(counters: Counters, lease: str, charge: Charge, amount: int) -> None:
    counters.settle(lease, [Spent(charge.counter, amount, charge.seconds)])
    counters.flush()
