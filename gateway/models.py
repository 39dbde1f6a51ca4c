"""The account of calls: one row for each call, and hourly sums that outlive the rows.

Ids and names of keys and upstreams are copies: deleting a key or an upstream changes nothing here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, Self
from uuid import UUID

from django.db import models
from django.db.models import Q, Sum

from gateway.account import call_ids, histogram
from gateway.account.endings import FIRST_BAD_STATUS, OTHERWISE
from gateway.account.entry import MAX_LENGTHS, MAX_TAG_LENGTH, Outcome, UsageSource
from gateway.account.relay_report import RelayReport as RelayReport
from gateway.account.unlisted_calls import UnlistedCalls as UnlistedCalls
from gateway.capture.models import CapturedPayload as CapturedPayload  # other modules' tables: Django finds them here
from gateway.capture.models import PayloadCapture as PayloadCapture
from gateway.importing.memory import ImportedRow as ImportedRow
from gateway.page_permissions import AdminPage as AdminPage

MAX_RESPONSE_ID = 200
"""Characters of a response's id; one that is longer (clients may choose them) is nobody's."""


def outcome_choices() -> list[tuple[str, str]]:
    """A callable, so that a new outcome needs no migration."""
    return [(outcome.value, outcome.value.replace("_", " ")) for outcome in Outcome]


def usage_source_choices() -> list[tuple[str, str]]:
    """Likewise."""
    return [(source.value, source.value) for source in UsageSource]


def _text(name: str, *, null: bool = True, **options: Any) -> models.CharField[Any, Any]:
    return models.CharField(max_length=MAX_LENGTHS[name], null=null, blank=null, **options)


class Moment(NamedTuple):
    """One point of a call's timeline."""

    name: str
    at: datetime
    offset_ms: float


class RequestLogQuerySet(models.QuerySet["RequestLog"]):
    """Questions about calls. Newest first is by primary key, which is ordered by time."""

    def between(self, start: datetime | None = None, end: datetime | None = None) -> Self:
        """Calls received from `start` on and before `end`, to the millisecond; a range of the primary key."""
        rows = self
        if start is not None:
            rows = rows.filter(pk__gte=call_ids.first_at(start))
        if end is not None:
            rows = rows.filter(pk__lt=call_ids.first_at(end))
        return rows

    def newest_first(self) -> Self:
        """Ordered by primary key, descending."""
        return self.order_by("-pk")

    def older_than(self, call_id: UUID) -> Self:
        """Calls before this one: the next page of a newest-first list."""
        return self.filter(pk__lt=call_id)


class RequestLog(models.Model):
    """One call, however it ended."""

    call_id = models.UUIDField(primary_key=True, editable=False)
    request_id = _text("request_id", null=False)

    received_at = models.DateTimeField()
    head_at = models.DateTimeField(null=True)
    first_token_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True, help_text="Empty when the gateway was killed meanwhile.")

    key_id = models.BigIntegerField(null=True)
    key_name = _text("key_name", null=False, verbose_name="virtual key")
    user_id = _text("user_id")
    team_id = _text("team_id")
    end_user = _text("end_user")
    model = _text("model")
    served_model = _text("served_model")
    upstream_id = models.BigIntegerField(null=True)
    upstream_name = _text("upstream_name", verbose_name="upstream")

    method = _text("method", null=False)
    route = _text("route", null=False)
    endpoint_class = _text("endpoint_class")
    status = models.SmallIntegerField(null=True)
    outcome = _text("outcome", null=False, choices=outcome_choices)
    streaming = models.BooleanField(default=False)

    prompt_tokens = models.IntegerField(null=True)
    completion_tokens = models.IntegerField(null=True)
    cached_tokens = models.IntegerField(null=True)
    reasoning_tokens = models.IntegerField(null=True)
    usage_source = _text("usage_source", null=False, choices=usage_source_choices)
    cost = models.DecimalField(max_digits=20, decimal_places=10, null=True, help_text="US dollars.")

    ttft_ms = models.FloatField("TTFT (ms)", null=True)
    inter_token_ms = models.FloatField("inter-token latency (ms)", null=True)
    bytes_in = models.BigIntegerField(null=True)
    bytes_out = models.BigIntegerField(null=True)

    attempts = models.PositiveSmallIntegerField(null=True, help_text="How many upstreams were tried.")
    queue_ms = models.FloatField("wait for a place (ms)", null=True)

    client_address = _text("client_address")
    user_agent = _text("user_agent")
    error_type = _text("error_type")
    error_text = _text("error_text")
    tags = models.JSONField(default=list)
    shadowed = models.JSONField(
        default=list, help_text="Limits that would have refused the call, were they not in shadow."
    )
    decisions = models.JSONField(
        null=True, editable=False, help_text="What was decided of the call, and when (gateway.account.decisions)."
    )

    objects = RequestLogQuerySet.as_manager()

    class Meta:
        verbose_name = "request log"
        ordering = ["-call_id"]
        default_permissions = ("view",)
        # Each filter of the log explorer, with the primary key behind it: a page of any one of them is a short
        # range of one index. Time needs none: it is a range of the primary key.
        indexes = [
            models.Index(fields=["key_id", "call_id"], name="request_log_key"),
            models.Index(fields=["model", "call_id"], name="request_log_model"),
            models.Index(fields=["upstream_id", "call_id"], name="request_log_upstream"),
            models.Index(fields=["status", "call_id"], name="request_log_status"),
            models.Index(fields=["outcome", "call_id"], name="request_log_outcome"),
            models.Index(fields=["user_id", "call_id"], name="request_log_user", condition=Q(user_id__isnull=False)),
            models.Index(fields=["team_id", "call_id"], name="request_log_team", condition=Q(team_id__isnull=False)),
            models.Index(fields=["endpoint_class", "call_id"], name="request_log_class"),
            models.Index(fields=["streaming", "call_id"], name="request_log_streaming"),
            # PostgreSQL searches a text by its beginning only in indexes of this kind.
            models.Index(
                fields=["end_user", "call_id"],
                name="request_log_end_user_text",
                condition=Q(end_user__isnull=False),
                opclasses=["varchar_pattern_ops", "uuid_ops"],
            ),
            models.Index(
                fields=["key_name", "call_id"],
                name="request_log_key_name",
                opclasses=["varchar_pattern_ops", "uuid_ops"],
            ),
            models.Index(fields=["request_id"], name="request_log_request", opclasses=["varchar_pattern_ops"]),
            # What an upstream answered with an error is completed, and has failed: a few rows among millions. (SQLite
            # takes no index of outcomes for what they are not, but this one.)
            models.Index(
                fields=["call_id"],
                name="request_log_error_answers",
                condition=~Q(outcome__in=tuple(map(str, OTHERWISE))) & Q(status__gte=FIRST_BAD_STATUS),
            ),
        ]

    def __str__(self) -> str:
        return str(self.request_id)

    @property
    def duration_ms(self) -> float | None:
        """From receiving the call to its end, in milliseconds; None when the end is not known."""
        return None if self.ended_at is None else _ms(self.received_at, self.ended_at)

    @property
    def timeline(self) -> list[Moment]:
        """What is known of received, upstream head, first token and end, with offsets in milliseconds."""
        moments = [
            ("received", self.received_at),
            ("upstream head", self.head_at),
            ("first token", self.first_token_at),
            ("end", self.ended_at),
        ]
        return [Moment(name, at, _ms(self.received_at, at)) for name, at in moments if at is not None]

    @property
    def total_tokens(self) -> int | None:
        """Prompt and completion tokens together; None when neither is known."""
        if self.prompt_tokens is None and self.completion_tokens is None:
            return None
        return (self.prompt_tokens or 0) + (self.completion_tokens or 0)


class RequestFacet(models.Model):
    """One of several values that a call has of one kind: its tags, and the limits in shadow that it went over.

    A table, as no index holds the items of a list in the order of the calls. Made and deleted with the row.
    """

    pk = models.CompositePrimaryKey("kind", "value", "call_id")
    kind = models.CharField(max_length=16)
    value = models.CharField(max_length=MAX_TAG_LENGTH)
    call = models.ForeignKey(RequestLog, models.DO_NOTHING, related_name="facets", db_constraint=False)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"


TAG, SHADOWED = "tag", "shadowed"
ANY = ""
"""The value of a facet that says only that there is one: of `shadowed`."""


def _ms(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds() * 1000


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


class StoredResponse(models.Model):
    """Who made a stored response, and where: only its key may read it, at the upstream that has it.

    `key_id` is empty for the master key and, when `anonymous`, for whoever calls without one. `state` is the
    conversation up to a response that the gateway translated itself, encrypted; empty when the upstream has it.
    `pending` is what budgets hold for one that is made in the background, until it is settled.
    """

    response_id = models.CharField(max_length=MAX_RESPONSE_ID, unique=True)
    key_id = models.BigIntegerField(null=True)
    anonymous = models.BooleanField(default=False)
    user_id = _text("user_id")
    upstream_id = models.BigIntegerField(null=True)
    upstream_name = _text("upstream_name", verbose_name="upstream")
    model = _text("model")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    translated = models.BooleanField(default=False)
    state = models.TextField(null=True, editable=False)
    state_bytes = models.IntegerField(default=0)
    pending = models.JSONField(null=True, editable=False)

    class Meta:
        verbose_name = "stored response"
        default_permissions = ()
        indexes = [
            models.Index(fields=["expires_at"], name="stored_response_expiry"),
            models.Index(fields=["created_at"], condition=Q(state_bytes__gt=0), name="stored_response_state"),
        ]

    def __str__(self) -> str:
        return self.response_id
