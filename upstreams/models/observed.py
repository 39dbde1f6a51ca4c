"""What probes saw of upstreams, over time: changes of health, and samples of load. Deleted with their upstream."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from django.db import models

from upstreams.load import Figures
from upstreams.models.upstream import Upstream, healths

SAMPLE_SECONDS = 30
LOAD_KEPT = timedelta(days=7)
HEALTH_KEPT = timedelta(days=90)


class HealthChange(models.Model):
    """The health of an upstream from one moment on, and what the check said."""

    upstream = models.ForeignKey(Upstream, on_delete=models.CASCADE, related_name="health_changes")
    at = models.DateTimeField()
    health = models.CharField(max_length=20, choices=healths)
    text = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["-at", "-pk"]
        default_permissions = ()
        indexes = [models.Index(fields=["upstream", "-at"], name="upstreams_health_at")]

    def __str__(self) -> str:
        return f"{self.health} at {self.at:%Y-%m-%d %H:%M:%S}"


class LoadSampleQuerySet(models.QuerySet["LoadSample"]):
    """How samples come to be: at most one for each upstream in half a minute, however many nodes probe."""

    def note(self, loads: Mapping[int, Figures], now: datetime) -> None:
        """Keeps the highest figures of each half minute, by upstream id. Call it in a transaction."""
        at = datetime.fromtimestamp(now.timestamp() // SAMPLE_SECONDS * SAMPLE_SECONDS, UTC)
        known = set(Upstream.objects.filter(pk__in=list(loads)).values_list("pk", flat=True))
        self.bulk_create(
            [
                LoadSample(
                    upstream_id=pk, at=at, running=one.running, waiting=one.waiting, kv_cache_use=one.kv_cache_use
                )
                for pk, one in loads.items()
                if pk in known
            ],
            ignore_conflicts=True,
        )
        for pk, one in loads.items():
            rows = self.filter(upstream_id=pk, at=at)
            # One by one: a peak of waiting calls is not at the moment of the peak of running ones.
            for column in ("running", "waiting", "kv_cache_use"):
                if value := getattr(one, column):
                    rows.filter(**{f"{column}__lt": value}).update(**{column: value})


class LoadSample(models.Model):
    """How busy a vLLM server was at most in a half minute, by its own figures."""

    upstream = models.ForeignKey(Upstream, on_delete=models.CASCADE, related_name="load_samples")
    at = models.DateTimeField()
    running = models.PositiveIntegerField()
    waiting = models.PositiveIntegerField()
    kv_cache_use = models.FloatField(null=True)

    objects = LoadSampleQuerySet.as_manager()

    class Meta:
        ordering = ["at", "pk"]
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["upstream", "at"], name="upstreams_one_sample")]

    def __str__(self) -> str:
        return f"{self.running} running, {self.waiting} waiting"
