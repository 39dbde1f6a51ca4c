"""A month of the demo's traffic, made once for all tests here: what one changes is undone after it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Sum

from common.money import dollars
from gateway.demo.seeding import seed
from gateway.demo.tables import NOWHERE
from gateway.models import RequestLog, UsageHour, UsageHourTag, UsageHourTotal
from keys.models import EndUser, Owner, Secret, SpendWindow, Team, VirtualKey
from upstreams.models import HealthChange, LoadSample, PricePeriod, Upstream

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 5, 20, 15, 7, tzinfo=UTC)
_MEASURES = ("prompt_tokens", "completion_tokens", "cached_tokens", "cost")


@pytest.fixture(scope="module")
def made(django_db_setup: None, django_db_blocker: Any) -> Iterator[Any]:
    with django_db_blocker.unblock(), transaction.atomic():
        yield seed(now=NOW, days=30, calls=600, number=2)
        transaction.set_rollback(True)


def sums(rows: Any) -> dict[str, Any]:
    return {name: value and round(value, 6) for name, value in rows.aggregate(**{n: Sum(n) for n in _MEASURES}).items()}


def test_calls_are_within_the_time_and_fit_their_roll_ups(made: Any) -> None:
    rows = RequestLog.objects.all()
    assert made.calls == rows.count() == UsageHourTotal.objects.aggregate(n=Sum("calls"))["n"]
    assert not rows.exclude(received_at__range=(NOW - timedelta(days=30), NOW)).exists()
    assert not rows.filter(ended_at__gt=NOW).exists()
    assert rows.between(NOW - timedelta(days=1)).exists()  # ids tell the time
    assert sums(rows) == sums(UsageHour.objects.all()) == sums(UsageHourTotal.objects.all())
    assert UsageHourTag.objects.filter(tag="production").exists()


def test_calls_say_what_was_decided_of_them(made: Any) -> None:
    rows = list(RequestLog.objects.exclude(outcome="lost"))
    assert {row.decisions["key"] for row in rows} == {"memory"}
    assert {row.decisions["prefix"] + row.route.partition("/v1")[1] for row in rows} == {"/v1"}
    assert all(row.decisions["way"] == "model" for row in rows if row.upstream_id is not None)
    assert any(row.decisions.get("among") for row in rows)
    assert all(row.decisions["limits"] for row in rows if row.error_type == "throttling_error")
    assert not any(row.decisions for row in RequestLog.objects.filter(outcome="lost"))


def test_a_call_that_a_budget_refused_tells_the_ceiling_that_the_key_has(made: Any) -> None:
    key = VirtualKey.objects.get(name="support-summaries")
    calls = list(RequestLog.objects.filter(key_id=key.pk, error_type="budget_exceeded"))
    assert calls
    for call in calls:
        assert f"Max budget: {key.max_budget.normalize():f} (max_budget)" in call.error_text
        [told] = [row[4] for row in call.decisions["limits"] if row[:2] == ["key", "max_budget"]]
        assert dollars(told) == key.max_budget


def test_a_model_that_is_refused_is_the_one_that_was_asked_for(made: Any) -> None:
    calls = RequestLog.objects.filter(error_type__in=("key_model_access_denied", "NotFoundError"), outcome="refused")
    assert calls
    assert all(call.model in call.error_text for call in calls)


def test_what_was_spent_fits_the_calls(made: Any) -> None:
    key = VirtualKey.objects.get(name="support-assistant")
    first = datetime(2026, 5, 1, tzinfo=UTC)
    counter = f"key:{key.pk}/usd/30d/{int(first.timestamp())}/0"
    this_month = RequestLog.objects.filter(key_id=key.pk, received_at__gte=first)
    spent = SpendWindow.objects.get(counter=counter).used
    assert spent == int((this_month.aggregate(n=Sum("cost"))["n"]) * 10**10)
    assert key.max_budget is not None
    assert spent / 10**10 == pytest.approx(float(key.max_budget) * 0.86, rel=0.2)


def test_keys_are_in_every_state(made: Any) -> None:
    states = {key.name: key.state for key in VirtualKey.objects.all()}
    assert states["old-chatbot"] == "blocked"
    assert Secret.objects.filter(key__name="ide-completions").count() == 2
    assert VirtualKey.objects.get(name="intern").last_used_at is None
    assert VirtualKey.objects.get(name="search-indexer").last_used_at <= NOW
    assert VirtualKey.objects.with_secret(made.secrets["evals"]).exists()


def test_upstreams_lead_nowhere_and_have_a_past(made: Any) -> None:
    assert all(row.url.startswith(NOWHERE) for row in Upstream.objects.all())
    assert LoadSample.objects.count() > 1_000
    assert HealthChange.objects.count() == Upstream.objects.count() + 1
    assert not PricePeriod.objects.filter(begins_at__gt=NOW - timedelta(days=30)).exists()


def test_the_same_number_makes_the_same_calls(made: Any) -> None:
    first = list(RequestLog.objects.order_by("pk").values_list("pk", "model", "cost", "outcome"))
    RequestLog.objects.all().delete()
    for table in (VirtualKey, Upstream, Team, Owner, EndUser):
        table.objects.all().delete()
    seed(now=NOW, days=30, calls=600, number=2)
    assert list(RequestLog.objects.order_by("pk").values_list("pk", "model", "cost", "outcome")) == first
