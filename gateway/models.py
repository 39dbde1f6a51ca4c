"""The account of calls: one row for each call. The sums of usage that outlive the rows are in
`gateway.account.usage_sums`.

Ids and names of keys and upstreams are copies: deleting a key or an upstream changes nothing here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple, Self
from uuid import UUID

from django.db import models
from django.db.models import Q

from gateway.account import call_ids
from gateway.account.endings import FIRST_BAD_STATUS, OTHERWISE
from gateway.account.entry import MAX_LENGTHS, MAX_TAG_LENGTH, Outcome, UsageSource
from gateway.account.relay_report import RelayReport as RelayReport
from gateway.account.unlisted_calls import UnlistedCalls as UnlistedCalls
from gateway.account.usage_sums import Usage as Usage
from gateway.account.usage_sums import UsageDay as UsageDay
from gateway.account.usage_sums import UsageHour as UsageHour
from gateway.account.usage_sums import UsageHourModel as UsageHourModel
from gateway.account.usage_sums import UsageHourTag as UsageHourTag
from gateway.account.usage_sums import UsageHourTotal as UsageHourTotal
from gateway.account.usage_sums import UsageOfAll as UsageOfAll
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
            models.Index(fields=["route", "call_id"], name="request_log_route"),
            # Of the few calls with an error; the others cost it nothing.
            models.Index(
                fields=["error_type", "call_id"],
                name="request_log_error_type",
                condition=Q(error_type__isnull=False),
            ),
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
