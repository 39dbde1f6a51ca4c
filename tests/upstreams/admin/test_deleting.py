"""Deleting upstreams, and what is asked before."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.upstreams.admin.pages import LIST, an_upstream, page_of
from upstreams.models import HEALTHY, Deployment, HealthChange, LoadSample, Upstream

pytestmark = pytest.mark.django_db


def asked_before_deleting(admin: Client, *upstreams: Upstream) -> str:
    """What the question says, of one upstream on its page, of several on the list's."""
    if len(upstreams) == 1:
        html = admin.get(page_of(upstreams[0], "delete")).content.decode()
    else:
        chosen = [upstream.pk for upstream in upstreams]
        html = admin.post(LIST, {"action": "delete_selected", "_selected_action": chosen}).content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html[html.index("deleted-objects") :]))


def test_before_an_upstream_is_deleted_its_samples_are_counted_and_not_listed(admin: Client) -> None:
    upstream, now = an_upstream(), timezone.now()
    times = (now - timedelta(seconds=30 * number) for number in range(1200))
    LoadSample.objects.bulk_create([LoadSample(upstream=upstream, at=at, running=1, waiting=0) for at in times])
    HealthChange.objects.create(upstream=upstream, at=now, health=HEALTHY)
    Deployment.objects.create(upstream=upstream, alias="qwen")
    told = asked_before_deleting(admin, upstream)
    assert "1 deployment: qwen 1,200 samples of its load and 1 change of its health" in told
    assert told.count("sample") == 1


def test_before_an_upstream_is_deleted_it_is_said_what_calls_lose(admin: Client) -> None:
    first, second, third = an_upstream(), an_upstream("gpu-2"), an_upstream("gpu-3")
    for upstream, alias in ((first, "qwen"), (second, "qwen"), (second, "phi")):
        Deployment.objects.create(upstream=upstream, alias=alias)
    told = asked_before_deleting(admin, first)
    assert "It is the default" in told
    assert "No other upstream" not in told
    assert "No other upstream has phi:" in asked_before_deleting(admin, second)
    assert "No other upstream has phi, qwen:" in asked_before_deleting(admin, first, second)
    told = asked_before_deleting(admin, first, second, third)
    assert told.count("No upstream is left then: all calls go to") == 1


def test_the_question_before_deleting_costs_the_same_for_many(admin: Client) -> None:
    several = [an_upstream(f"gpu-{number}") for number in range(5)]

    def queries(*upstreams: Upstream) -> int:
        with CaptureQueriesContext(connection) as captured:
            asked_before_deleting(admin, *upstreams)
        return len(captured)

    assert queries(*several) == queries(*several[:2])


def test_upstreams_are_deleted_in_bulk(admin: Client) -> None:
    upstream = an_upstream()
    admin.post(LIST, {"action": "delete_selected", "_selected_action": [upstream.pk], "post": "yes"})
    assert not Upstream.objects.exists()
