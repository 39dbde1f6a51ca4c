"""Writes down what probes have seen: quietly, since no copy holds it, and not again and again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from upstreams.checking import Check, check
from upstreams.discovery import note_models
from upstreams.load import Figures
from upstreams.models import HEALTHY, UNHEALTHY, Upstream

SAME_FOR = timedelta(seconds=30)
"""For how long a finding that says the same is not written again."""


def record(upstream: Upstream, result: Check) -> None:
    """Notes what a check showed, unless the URL has been changed meanwhile. Copies hear only of new models."""
    rows = Upstream.objects.filter(pk=upstream.pk, url=upstream.url)
    rows.update_quietly(
        health=HEALTHY if result.healthy else UNHEALTHY,
        health_text=result.text,
        checked_at=timezone.now(),
        latency_ms=result.latency_ms,
        vllm_version=result.version,
    )
    if result.healthy:
        note_models(upstream, result.details)


def record_illness(upstream: Upstream, result: Check) -> None:
    """Notes that `/health` has failed; nothing when that was noted a moment ago."""
    now = timezone.now()
    rows = Upstream.objects.filter(pk=upstream.pk, url=upstream.url)
    rows.exclude(health=UNHEALTHY, health_text=result.text, checked_at__gt=now - SAME_FOR).update_quietly(
        health=UNHEALTHY, health_text=result.text, checked_at=now, latency_ms=None
    )


def record_loads(loads: Mapping[int, Figures]) -> None:
    """Notes how busy upstreams are, by id, in one transaction."""
    now = timezone.now()
    with transaction.atomic():
        for upstream_id, figures in loads.items():
            Upstream.objects.filter(pk=upstream_id).update_quietly(
                running=figures.running, waiting=figures.waiting, kv_cache_use=figures.kv_cache_use, load_at=now
            )


def check_and_record(upstream: Upstream) -> Check:
    """One look at an upstream now, noted in its row; its credential is not in the result."""
    result = check(upstream.url, upstream.credential)
    record(upstream, result)
    return result
