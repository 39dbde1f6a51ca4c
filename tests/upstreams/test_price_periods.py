"""Tests of upstreams.price_history: what an hour of an upstream cost, and when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine

from upstreams.models import PricePeriod, Upstream

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


def an_upstream(price: object = None) -> Upstream:
    return Upstream.objects.create(name="gpu-1", url="http://gpu-1:8000", price_per_hour=price)


def change(upstream: Upstream, price: object) -> None:
    upstream.price_per_hour = price  # type: ignore[assignment]
    upstream.save()


def noted() -> list[tuple[str, datetime, datetime | None]]:
    return [(f"{one.price_per_hour:.2f}", one.begins_at, one.ends_at) for one in PricePeriod.objects.all()]


def test_a_price_counts_from_the_day_on_which_the_upstream_was_added(clock: time_machine.Coordinates) -> None:
    upstream = an_upstream()
    assert noted() == []
    clock.shift(DAY)
    change(upstream, Decimal("2.5"))
    assert noted() == [("2.50", NOON, None)]


def test_another_price_counts_from_its_change(clock: time_machine.Coordinates) -> None:
    upstream = an_upstream(2)
    clock.shift(DAY)
    change(upstream, "3.5")
    clock.shift(DAY)
    change(upstream, None)
    clock.shift(DAY)
    change(upstream, 4.5)
    assert noted() == [
        ("2.00", NOON, NOON + DAY),
        ("3.50", NOON + DAY, NOON + 2 * DAY),
        ("4.50", NOON + 3 * DAY, None),
    ]


@pytest.mark.parametrize("same", ["2.5", 2.5, Decimal("2.500000")])
def test_the_same_price_is_no_change(clock: time_machine.Coordinates, same: object) -> None:
    upstream = an_upstream(Decimal("2.5"))
    clock.shift(DAY)
    change(upstream, same)
    upstream.save(update_fields=["state"])
    assert noted() == [("2.50", NOON, None)]


def test_a_slip_is_corrected_within_the_hour(clock: time_machine.Coordinates) -> None:
    upstream = an_upstream(250)
    clock.shift(timedelta(minutes=59))
    change(upstream, Decimal("2.5"))
    assert noted() == [("2.50", NOON, None)]
    change(upstream, None)  # a server that was switched off is no slip
    assert noted() == [("2.50", NOON, NOON + timedelta(minutes=59))]


def test_a_free_hour_is_a_price_too() -> None:
    an_upstream(0)
    assert noted() == [("0.00", NOON, None)]


def test_a_new_name_is_known_afterwards() -> None:
    upstream = an_upstream(2)
    upstream.name = "gpu-2"
    upstream.save(update_fields=["name"])
    assert PricePeriod.objects.get().upstream_name == "gpu-2"


@pytest.mark.parametrize("in_bulk", [True, False])
def test_a_deleted_upstream_costs_nothing_any_more(clock: time_machine.Coordinates, in_bulk: bool) -> None:
    upstream = an_upstream(2)
    clock.shift(DAY)
    _ = Upstream.objects.all().delete() if in_bulk else upstream.delete()
    assert noted() == [("2.00", NOON, NOON + DAY)]


def test_prices_are_not_changed_in_bulk() -> None:
    an_upstream(2)
    with pytest.raises(ValueError, match="one by one"):
        Upstream.objects.update(price_per_hour=3)


def test_periods_are_found_by_their_part_in_a_time(clock: time_machine.Coordinates) -> None:
    upstream = an_upstream(2)
    clock.shift(DAY)
    upstream.delete()
    spans = [(-1, 0), (-1, 1), (0, 1), (1, 2)]
    found = [PricePeriod.objects.between(NOON + a * DAY, NOON + b * DAY).exists() for a, b in spans]
    assert found == [False, True, True, False]
