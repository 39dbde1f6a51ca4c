from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from io import StringIO
from random import Random

import pytest
from django.core.management import CommandError, call_command

from gateway.demo import tables
from gateway.demo.traffic import Traffic
from keys.models import VirtualKey
from upstreams.models import Upstream

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 5, 20, 15, 7, tzinfo=UTC)


def test_every_way_to_end_that_is_common_is_there() -> None:
    start, chance = NOW - timedelta(days=3), Random(1)
    servers = tables.write_servers((), NOW, start, chance)
    tables.write_holders(NOW)
    traffic = Traffic(tables.write_keys(NOW), servers, tables.known_parties(), chance)
    entries = list(traffic.calls(start, NOW, 3_000))
    outcomes = Counter(entry["outcome"] for entry in entries)
    assert {"completed", "client_disconnected", "refused", "upstream_failed"} <= outcomes.keys()
    assert outcomes["completed"] > 0.9 * len(entries)
    types = {entry.get("error_type") for entry in entries}
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
        call_command("seed_demo", "--days", "1", "--calls", "20", stdout=StringIO())
    call_command("seed_demo", "--days", "1", "--calls", "20", "--yes", stdout=StringIO())
    assert VirtualKey.objects.filter(name="mine").exists()
    with pytest.raises(CommandError, match="is here already"):
        call_command("seed_demo", "--days", "1", "--calls", "20", "--yes", stdout=StringIO())


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
