"""Writes down what probes have seen: quietly, since no copy holds it, and not again and again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from upstreams.checking import Check, check
from upstreams.discovery import note_models
from upstreams.load import Figures
from upstreams.models import HEALTHY, UNHEALTHY, HealthChange, LoadSample, Upstream, UpstreamQuerySet
from upstreams.models.observed import HEALTH_KEPT, LOAD_KEPT
from upstreams.posture import Posture, look

SAME_FOR = timedelta(seconds=30)
"""For how long a finding that says the same is not written again."""


def record(upstream: Upstream, result: Check, at: datetime | None = None) -> None:
    """Notes what a check showed `at` a moment (default: now), unless the URL has been changed meanwhile.

    Copies hear only of new models.
    """
    now = at or timezone.now()
    _note_change(upstream, result, now)
    seen = {"health_text": result.text, "checked_at": now, "latency_ms": result.latency_ms}
    if result.version:  # what is away keeps its version, and the advisories that concern it
        seen["vllm_version"] = result.version
    _same_server(upstream).update_quietly(**seen)
    if result.healthy:
        note_models(upstream, result.details)


def record_illness(upstream: Upstream, result: Check) -> None:
    """Notes that `/health` has failed; nothing when that was noted a moment ago."""
    now = timezone.now()
    same = _same_server(upstream).filter(health=UNHEALTHY, health_text=result.text, checked_at__gt=now - SAME_FOR)
    if same.exists():
        return
    _note_change(upstream, result, now)
    _same_server(upstream).update_quietly(health_text=result.text, checked_at=now, latency_ms=None)


def _same_server(upstream: Upstream) -> UpstreamQuerySet:
    return Upstream.objects.filter(pk=upstream.pk, url=upstream.url)


def _note_change(upstream: Upstream, result: Check, now: datetime) -> None:
    """The health, and a line of its history where it is another: of several nodes that see it, one writes the line."""
    health = HEALTHY if result.healthy else UNHEALTHY
    with transaction.atomic():
        if _same_server(upstream).exclude(health=health).update_quietly(health=health):
            HealthChange.objects.create(upstream_id=upstream.pk, at=now, health=health, text=result.text)


def record_loads(loads: Mapping[int, Figures]) -> None:
    """Notes how busy upstreams are, by id, in one transaction; now and then as a sample that is kept."""
    now = timezone.now()
    with transaction.atomic():
        for upstream_id, figures in loads.items():
            Upstream.objects.filter(pk=upstream_id).update_quietly(
                running=figures.running, waiting=figures.waiting, kv_cache_use=figures.kv_cache_use, load_at=now
            )
        LoadSample.objects.note(loads, now)


def record_posture(upstream: Upstream, found: Posture, at: datetime | None = None) -> None:
    """Notes what the server lets anybody do, unless the URL has been changed meanwhile."""
    _same_server(upstream).update_quietly(posture=found.as_json(), posture_at=at or timezone.now())


def prune(upstream_ids: Iterable[int], now: datetime) -> None:
    """Deletes what was seen of these upstreams too long ago to be shown; a step at a time, by their index."""
    for pk in upstream_ids:
        LoadSample.objects.filter(upstream_id=pk, at__lt=now - LOAD_KEPT).delete()
        HealthChange.objects.filter(upstream_id=pk, at__lt=now - HEALTH_KEPT).delete()


def check_and_record(upstream: Upstream) -> Check:
    """One look at an upstream now, noted in its row; its credential is not in the result."""
    result = check(upstream.url, upstream.credential)
    record(upstream, result)
    if result.healthy and (found := look(upstream.url)) is not None:
        record_posture(upstream, found)
    return result
