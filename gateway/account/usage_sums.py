"""Sums of usage by hour, day and month: what the admin's figures, budgets and reports are read from.

The recorder adds to them in the transaction that stores a call's row (`gateway.account.rollups`), so they outlive the
rows of the request log, and nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q, Sum

from gateway.account import histogram
from gateway.account.entry import MAX_LENGTHS, MAX_TAG_LENGTH


class Usage(models.Model):
    """What all roll-ups add up. `errors` are the calls that were not answered: refused, cut, and the rest, which failed
    (`gateway.account.endings`)."""

    calls = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0)
    refused = models.BigIntegerField(
        default=0, db_default=0, help_text="Those of the errors that the gateway refused; counted since this column."
    )
    cut = models.BigIntegerField(
        default=0, db_default=0, help_text="Those of the errors that the gateway cut; counted since this column."
    )
    prompt_tokens = models.BigIntegerField(default=0)
    completion_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    cost = models.DecimalField(max_digits=24, decimal_places=10, null=True, help_text="US dollars.")

    class Meta:
        abstract = True


class UsageHourQuerySet(models.QuerySet["UsageHour"]):
    """Questions about usage."""

    def between(self, start: datetime, end: datetime) -> Self:
        """The hours from the one that holds `start` up to, and without, `end`."""
        return self.filter(hour__gte=start.replace(minute=0, second=0, microsecond=0), hour__lt=end)

    def per_key(self, key_ids: Sequence[int]) -> dict[int, dict[str, int]]:
        """Calls, errors, refused and cut ones of these, prompt and completion tokens of each of these keys that has
        any."""
        names = ("calls", "errors", "refused", "cut", "prompt_tokens", "completion_tokens")
        sums = {f"sum_{name}": Sum(name) for name in names}
        rows = self.filter(key_id__in=key_ids).order_by().values("key_id").annotate(**sums)
        return {key_id: dict(zip(names, values, strict=True)) for key_id, *values in rows.values_list("key_id", *sums)}

    def percentiles(self, shares: Sequence[float]) -> dict[str, list[float | None]]:
        """`{"ttft": […], "duration": […]}` in milliseconds, one value for each share (0 to 1)."""
        columns = (*histogram.TTFT_COLUMNS, *histogram.DURATION_COLUMNS)
        sums = self.aggregate(**{f"sum_{name}": Sum(name) for name in columns})
        counts = {name: sums[f"sum_{name}"] or 0 for name in columns}

        def of(bounds: Sequence[float], names: Sequence[str]) -> list[float | None]:
            return [histogram.percentile(bounds, [counts[n] for n in names], share) for share in shares]

        return {
            "ttft": of(histogram.TTFT_BOUNDS_MS, histogram.TTFT_COLUMNS),
            "duration": of(histogram.DURATION_BOUNDS_MS, histogram.DURATION_COLUMNS),
        }


class UsageHour(Usage):
    """Usage in one hour (UTC, by the time received) of one key, team, user, end user, model and upstream.

    No dimension is NULL, so that the unique constraint holds: "" and 0 mean none. Names are the latest seen.
    The columns `ttft_bucket_NN` and `duration_bucket_NN` are histograms (`gateway.account.histogram`).
    """

    DIMENSIONS = ("hour", "key_id", "team_id", "user_id", "end_user", "model", "upstream_id")

    hour = models.DateTimeField()
    key_id = models.BigIntegerField(default=0)
    team_id = models.CharField(max_length=64, default="", blank=True)
    user_id = models.CharField(max_length=MAX_LENGTHS["user_id"], default="", blank=True)
    end_user = models.CharField(max_length=MAX_LENGTHS["end_user"], default="", blank=True)
    model = models.CharField(max_length=MAX_LENGTHS["model"], default="", blank=True)
    upstream_id = models.BigIntegerField(default=0)
    key_name = models.CharField(max_length=MAX_LENGTHS["key_name"], default="", blank=True)
    upstream_name = models.CharField(max_length=MAX_LENGTHS["upstream_name"], default="", blank=True)

    objects = UsageHourQuerySet.as_manager()

    class Meta:
        verbose_name = "usage in an hour"
        verbose_name_plural = "usage by hour"
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["hour", "key_id", "team_id", "user_id", "end_user", "model", "upstream_id"],
                name="usage_hour_dimensions",
            )
        ]
        # What the pages of keys, owners and end users ask for; those of teams have tables with fewer rows.
        indexes = [
            models.Index(fields=["key_id", "hour"], name="usage_hour_key"),
            models.Index(fields=["user_id", "hour"], name="usage_hour_user", condition=~Q(user_id="")),
            models.Index(fields=["end_user", "hour"], name="usage_hour_end_user", condition=~Q(end_user="")),
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:%M} {self.key_name}"


for _column in (*histogram.TTFT_COLUMNS, *histogram.DURATION_COLUMNS):
    UsageHour.add_to_class(_column, models.IntegerField(default=0))


class UsageHourTotal(Usage):
    """Usage in one hour of all calls. Also tells where in the request log an hour's rows begin, without counting."""

    DIMENSIONS = ("hour",)

    hour = models.DateTimeField(unique=True)

    class Meta:
        verbose_name = "usage of all calls in an hour"
        verbose_name_plural = "usage of all calls by hour"
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:%M}"


class UsageHourTag(Usage):
    """Usage in one hour of the calls that carry a tag."""

    DIMENSIONS = ("hour", "tag")

    hour = models.DateTimeField()
    tag = models.CharField(max_length=MAX_TAG_LENGTH)

    class Meta:
        verbose_name = "usage of a tag in an hour"
        verbose_name_plural = "usage by tag and hour"
        default_permissions = ("view",)
        constraints = [models.UniqueConstraint(fields=["hour", "tag"], name="usage_hour_tag_dimensions")]
        indexes = [models.Index(fields=["tag", "hour"], name="usage_hour_tag")]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:%M} {self.tag}"


class UsageHourModel(Usage):
    """Usage in one hour of the calls of a team for a model: what the first page is read from. "" means none."""

    DIMENSIONS = ("hour", "team_id", "model")

    hour = models.DateTimeField()
    team_id = models.CharField(max_length=64, default="", blank=True)
    model = models.CharField(max_length=MAX_LENGTHS["model"], default="", blank=True)

    class Meta:
        verbose_name = "usage of a model in an hour"
        verbose_name_plural = "usage by model and hour"
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["hour", "team_id", "model"], name="usage_hour_model_dimensions")]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:%M} {self.model}"


class UsageDay(Usage):
    """Usage on one day (UTC) of the calls of a team that share the value of one dimension: what usage is read from.

    `value` is the id of a team, key, owner, end user or upstream, a model or a tag; "" is none. `label` is the latest
    name of the key or upstream. A call counts once in each dimension, in "tag" once for each of its tags.
    """

    DIMENSIONS = ("dimension", "day", "team_id", "value")

    dimension = models.CharField(max_length=16)
    day = models.DateField()
    team_id = models.CharField(max_length=64, default="", blank=True)
    value = models.CharField(max_length=MAX_LENGTHS["model"], default="", blank=True)
    label = models.CharField(max_length=MAX_LENGTHS["key_name"], default="", blank=True)

    class Meta:
        verbose_name = "usage on a day"
        verbose_name_plural = "usage by day"
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["dimension", "day", "team_id", "value"], name="usage_day_dimensions")
        ]
        indexes = [models.Index(fields=["dimension", "value", "day"], name="usage_day_value")]

    def __str__(self) -> str:
        return f"{self.day} {self.dimension} {self.label or self.value}"


class UsageOfAll(Usage):
    """Usage in one hour, day or month (UTC) of the calls of all teams together that share the value of one dimension:
    what is read for who sees every team, where the sums of each team, or of each day, are many.

    `span` and `dimension` are those of `gateway.account.rollups_of_all`; `value` and `label` as in `UsageDay`.
    """

    DIMENSIONS = ("span", "dimension", "start", "value")

    span = models.CharField(max_length=8)
    dimension = models.CharField(max_length=16)
    start = models.DateTimeField()
    value = models.CharField(max_length=MAX_LENGTHS["model"], default="", blank=True)
    label = models.CharField(max_length=MAX_LENGTHS["key_name"], default="", blank=True)

    class Meta:
        verbose_name = "usage of all teams"
        verbose_name_plural = "usage of all teams"
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["span", "dimension", "start", "value"], name="usage_of_all_dimensions")
        ]

    def __str__(self) -> str:
        return f"{self.span} {self.start:%Y-%m-%d %H:%M} {self.dimension} {self.label or self.value}"
