"""How the demo's calls end: as the relay would have noted it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from common.errors import GatewayError
from gateway.account.endings import Ending, ending_of
from gateway.admin_pages.causes import cause_of
from gateway.admin_pages.log_facts import Facts
from gateway.demo import tables
from gateway.demo.endings import ENDINGS
from gateway.demo.traffic import Traffic
from gateway.errors import UpstreamSaturated
from gateway.passthrough import _outcome_of
from upstreams.errors import UpstreamReset, UpstreamTimeout

NOW = datetime(2026, 5, 20, 15, 7, tzinfo=UTC)


@pytest.mark.parametrize("error", [UpstreamSaturated(), UpstreamTimeout(), UpstreamReset()])
def test_failures_have_the_relays_outcome(error: GatewayError) -> None:
    [found] = {one.outcome for one in ENDINGS if one.type == error.type}
    assert found == _outcome_of(error, None)


@pytest.mark.django_db
def test_a_call_that_found_no_place_has_failed_and_asked_nobody(settings: Any) -> None:
    settings.QUEUE_SECONDS = 20
    start, chance = NOW - timedelta(days=1), Random(1)
    servers, held = tables.write_servers((), NOW, start, chance), tables.write_keys(NOW)
    always = [one for one in ENDINGS if one.finds_no_place]
    entries = list(Traffic(held, servers, tables.known_parties(), chance, always).calls(start, NOW, 100))
    failed = [one for one in entries if one["error_type"] == "upstream_saturated"]
    assert len(failed) > len(entries) / 2  # of the rest the key was refused
    for one in failed:
        assert (ending_of(one["outcome"], one["status"]), one["status"]) == (Ending.FAILED, 503)
        assert (one.get("upstream_name"), one["attempts"], one["usage_source"]) == (None, 0, "none")
        assert one["decisions"]["way"] == "model"
        assert one["ended_at"] - one["received_at"] == pytest.approx((one["queue_ms"] or 0) / 1000, abs=0.001)


@pytest.mark.django_db
def test_a_refusal_tells_which_limit_it_was_and_what_was_in_use(settings: Any) -> None:
    start, chance = NOW - timedelta(days=1), Random(1)
    held = [
        replace(one, key=replace(one.key, refused=1.0, begins=-400.0))
        for one in tables.write_keys(NOW)
        if one.key.refused
    ]
    told = {}
    for one in Traffic(held, (), tables.known_parties(), chance).calls(start, NOW, 60):
        [seen] = [limit for limit in Facts(one["decisions"]).limits if limit.refused]
        cause = cause_of(one["outcome"], one["status"], one["error_type"], one["error_text"])
        assert cause is not None
        assert seen.name.lower() in cause.sentence.lower()
        assert seen.left
        told[seen.name] = (seen.whose, seen.used, seen.ceiling)
    assert told == {
        "Budget": ("virtual key", "$1.20", "$1.20"),
        "Calls a minute": ("virtual key", "60", "60"),
        "Tokens a minute": ("virtual key", "2,000,000", "2,000,000"),
    }
