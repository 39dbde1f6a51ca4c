from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Count

from gateway.demo.seeding import seed
from gateway.models import RequestLog
from keys.models import VirtualKey
from upstreams.models import Upstream

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 5, 20, 15, 7, tzinfo=UTC)


def test_every_way_to_end_that_is_common_is_there() -> None:
    seed(now=NOW, days=3, calls=3_000)
    outcomes = dict(RequestLog.objects.order_by().values_list("outcome").annotate(n=Count("pk")))
    assert {"completed", "client_disconnected", "refused", "upstream_failed"} <= outcomes.keys()
    assert outcomes["completed"] > 0.9 * sum(outcomes.values())
    types = set(RequestLog.objects.values_list("error_type", flat=True).distinct())
    assert {"throttling_error", "budget_exceeded", "BadRequestError", "upstream_unreachable"} <= types


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
