from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Count, Sum

from gateway.demo.seeding import seed
from gateway.demo.tables import NOWHERE
from gateway.models import RequestLog, UsageHour, UsageHourTag, UsageHourTotal
from keys.models import EndUser, Owner, Secret, SpendWindow, Team, VirtualKey
from upstreams.models import HealthChange, LoadSample, PricePeriod, Upstream

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 5, 20, 15, 7, tzinfo=UTC)
_MEASURES = ("prompt_tokens", "completion_tokens", "cached_tokens", "cost")


@pytest.fixture
def made() -> Any:
    return seed(now=NOW, days=30, calls=600)


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


def test_every_way_to_end_that_is_common_is_there() -> None:
    seed(now=NOW, days=3, calls=3_000)
    outcomes = dict(RequestLog.objects.order_by().values_list("outcome").annotate(n=Count("pk")))
    assert {"completed", "client_disconnected", "refused", "upstream_failed"} <= outcomes.keys()
    assert outcomes["completed"] > 0.9 * sum(outcomes.values())
    types = set(RequestLog.objects.values_list("error_type", flat=True).distinct())
    assert {"throttling_error", "budget_exceeded", "BadRequestError", "upstream_unreachable"} <= types


def test_calls_say_what_was_decided_of_them(made: Any) -> None:
    rows = list(RequestLog.objects.exclude(outcome="lost"))
    assert {row.decisions["key"] for row in rows} == {"memory"}
    assert {row.decisions["prefix"] + row.route.partition("/v1")[1] for row in rows} == {"/v1"}
    assert all(row.decisions["way"] == "model" for row in rows if row.upstream_id is not None)
    assert any(row.decisions.get("among") for row in rows)
    assert all(row.decisions["limits"] for row in rows if row.error_type == "throttling_error")
    assert not any(row.decisions for row in RequestLog.objects.filter(outcome="lost"))


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
    seed(now=NOW, days=30, calls=600)
    assert list(RequestLog.objects.order_by("pk").values_list("pk", "model", "cost", "outcome")) == first


def test_the_command_tells_what_it_made() -> None:
    said = StringIO()
    call_command("seed_demo", "--days", "2", "--calls", "50", "--upstream", "http://127.0.0.1:9/", stdout=said)
    assert "21 keys and" in said.getvalue()
    assert "ada-notebooks       sk-" in said.getvalue()
    assert Upstream.objects.get(name="h100-a").url == "http://127.0.0.1:9"


def test_a_gateway_with_keys_is_left_alone_unless_told() -> None:
    VirtualKey.objects.issue(name="mine")
    with pytest.raises(CommandError, match="--yes"):
        call_command("seed_demo", "--calls", "20", stdout=StringIO())
    call_command("seed_demo", "--calls", "20", "--yes", stdout=StringIO())
    assert VirtualKey.objects.filter(name="mine").exists()
    with pytest.raises(CommandError, match="is here already"):
        call_command("seed_demo", "--calls", "20", "--yes", stdout=StringIO())


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--days", "0", "--days must be"),
        ("--calls", "0", "--calls must be"),
        ("--upstream", "gpu:1", "must start with"),
    ],
)
def test_bad_options_are_refused(option: str, value: str, said: str) -> None:
    with pytest.raises(CommandError, match=said):
        call_command("seed_demo", option, value, stdout=StringIO())
