from __future__ import annotations

import socket
from typing import Any

import pytest
from django.db import connection

from gateway import limits_in_use
from gateway.limits_in_use import MOST_COUNTERS, ask_relay, in_use
from keys.identity import Party
from keys.limit_values import Limits
from keys.limits import Asked, charges_for, rates_of
from tests.support.counting import counted_here
from tests.support.ports import unused_port

pytestmark = pytest.mark.django_db
PARTY = Party(kind="key", ident="looked-at", limits=Limits(tpm=100, parallel=3, model_rpm={"a": 5}))


def test_each_limit_has_its_own_figure_whatever_the_order_of_the_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    counters = counted_here(monkeypatch)
    counters.take("call", charges_for([PARTY], Asked("a", tokens=7, counts_tokens=True), lambda _: 0))
    try:
        charges = rates_of(PARTY)
        assert [charge.limit for charge in charges] == ["max_parallel_requests", "tpm_limit", "model_rpm_limit"]
        assert [used for used, _ in in_use(charges) or ()] == [1, 7, 1]
        assert [used for used, _ in in_use(charges) or ()] == [1, 7, 1]
    finally:
        counters.release("call")


@pytest.mark.skipif(connection.vendor != "postgresql", reason="the relay's memory has one lock")
def test_counters_are_asked_in_the_order_in_which_calls_take_them(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    store = counted_here(monkeypatch)
    take = store.take
    monkeypatch.setattr(
        store, "take", lambda lease, charges: asked.append([c.counter for c in charges]) or take(lease, charges)
    )
    in_use(rates_of(PARTY))
    assert asked == [sorted(asked[0])]


@pytest.mark.sockets
@pytest.mark.skipif(connection.vendor == "postgresql", reason="the database counts")
def test_while_no_relay_answers_nobody_can_tell(settings: Any) -> None:
    settings.PORT = unused_port()
    assert in_use(rates_of(PARTY)) is None


@pytest.mark.sockets
def test_a_relay_that_is_stuck_is_waited_for_once(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_in_use, "TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as relay:
        settings.HOST, settings.PORT = relay.getsockname()
        assert ask_relay([(f"key:{number}/rpm", 60.0, 0) for number in range(3 * MOST_COUNTERS)]) is None
        relay.setblocking(False)
        relay.accept()[0].close()
        with pytest.raises(BlockingIOError):
            relay.accept()
