"""Who captures what until when, and what was captured. Bodies are encrypted like the credentials of upstreams.

Ids and names of keys and the ids of teams are copies, as in the request log: what was captured for one team does not
go along with a key that is given to another.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from django.db import models
from django.db.models import Exists, OuterRef, Q, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from gateway.account.entry import MAX_LENGTHS
from keys.models import VirtualKey
from upstreams import crypto
from upstreams.errors import CredentialUnreadable

LONGEST = timedelta(hours=24)
MAX_REASON = 500
MOST_CALLS = 1_000
"""How many calls one capture keeps, unless who starts it says otherwise."""


class PayloadCaptureQuerySet(models.QuerySet["PayloadCapture"]):
    """Questions about captures."""

    def active(self, now: datetime) -> Self:
        """Those that capture at this moment."""
        return self.filter(stopped_at=None, starts_at__lte=now, ends_at__gt=now)

    def counted(self) -> Self:
        """With `captured`, how many calls were, and apart from them `unsent`, those that no upstream had."""
        return self.annotate(
            captured=models.Count("payloads", filter=Q(payloads__unsent=False)),
            unsent=models.Count("payloads", filter=Q(payloads__unsent=True)),
        )

    def with_moves(self) -> Self:
        """With `has_moved`: the key is of another team than at the start, so none of its calls is captured."""
        keys = VirtualKey.objects.filter(pk=OuterRef("key_id")).alias(team=Coalesce("team_id", Value("")))
        return self.annotate(has_moved=Exists(keys.exclude(team=Coalesce(OuterRef("team_id"), Value("")))))


class PayloadCapture(models.Model):
    """One decision to look at what a key, or the callers of a model, send and get. It ends by itself."""

    key_id = models.BigIntegerField("virtual key", null=True, blank=True)
    key_name = models.CharField("virtual key", max_length=MAX_LENGTHS["key_name"], blank=True, default="")
    team_id = models.CharField(
        "team", max_length=MAX_LENGTHS["team_id"], null=True, editable=False, help_text="The key's, at the start."
    )
    model = models.CharField(
        max_length=MAX_LENGTHS["model"], blank=True, default="", help_text="The name that the calls ask for."
    )
    reason = models.TextField(max_length=MAX_REASON, help_text="Why somebody's prompts are to be read. It stays.")
    most_calls = models.PositiveIntegerField(
        "at most", default=MOST_CALLS, help_text="How many calls are captured before it stops by itself."
    )
    started_by = models.CharField(max_length=150, editable=False)
    starts_at = models.DateTimeField("started", default=timezone.now, editable=False)
    ends_at = models.DateTimeField("until", editable=False)
    stopped_at = models.DateTimeField("stopped", null=True, editable=False)
    stopped_by = models.CharField(max_length=150, blank=True, default="", editable=False)

    objects = PayloadCaptureQuerySet.as_manager()

    class Meta:
        verbose_name = "payload capture"
        ordering = ["-pk"]
        default_permissions = ("add", "change", "delete", "view")
        constraints = [
            models.CheckConstraint(
                condition=Q(key_id__isnull=False, model="") | (Q(key_id__isnull=True) & ~Q(model="")),
                name="payload_capture_of_a_key_or_a_model",
            )
        ]
        indexes = [
            models.Index(fields=["ends_at"], condition=Q(stopped_at__isnull=True), name="payload_capture_active")
        ]

    def __str__(self) -> str:
        return f"key {self.key_name}" if self.key_id is not None else f"model {self.model}"

    def is_active(self, now: datetime) -> bool:
        """Whether it captures at this moment."""
        return self.stopped_at is None and self.starts_at <= now < self.ends_at

    def stop(self, by: str) -> bool:
        """Ends it now; whether it was not over before."""
        now = timezone.now()
        active = PayloadCapture.objects.active(now).filter(pk=self.pk)
        return bool(active.update(stopped_at=now, stopped_by=by))


class CapturedPayload(models.Model):
    """What one call sent and what it got: each up to a set size, without secrets, encrypted."""

    call_id = models.UUIDField(primary_key=True, editable=False)
    capture = models.ForeignKey(PayloadCapture, on_delete=models.CASCADE, related_name="payloads")
    captured_at = models.DateTimeField()
    key_id = models.BigIntegerField(null=True)
    key_name = models.CharField("virtual key", max_length=MAX_LENGTHS["key_name"], blank=True, default="")
    team_id = models.CharField("team", max_length=MAX_LENGTHS["team_id"], null=True, help_text="As in the request log.")
    model = models.CharField(max_length=MAX_LENGTHS["model"], blank=True, default="")
    status = models.SmallIntegerField(null=True)
    unsent = models.BooleanField(
        default=False, db_default=False, help_text="The call was refused before any upstream had it."
    )
    request_type = models.CharField(max_length=200, blank=True, default="")
    request_body = models.TextField(editable=False)
    request_bytes = models.BigIntegerField(help_text="Of the whole body.")
    request_cut = models.BooleanField(default=False)
    response_type = models.CharField(max_length=200, blank=True, default="")
    response_body = models.TextField(editable=False)
    response_bytes = models.BigIntegerField(help_text="Of the whole body.")
    response_cut = models.BooleanField(default=False)

    class Meta:
        verbose_name = "captured payload"
        ordering = ["-call_id"]
        default_permissions = ("view", "delete")
        indexes = [models.Index(fields=["captured_at"], name="captured_payload_at")]

    def __str__(self) -> str:
        return f"call {self.call_id.hex}"

    def reveal(self) -> tuple[bytes, bytes]:
        """The bodies of request and response. Raises CredentialUnreadable when the encryption keys do not fit."""
        return crypto.decrypt_bytes(self.request_body), crypto.decrypt_bytes(self.response_body)


def encrypt_again() -> None:
    """Moves everything to the newest encryption key. What no key fits is deleted: nobody can read it."""
    for call_id in list(CapturedPayload.objects.values_list("pk", flat=True)):
        one = CapturedPayload.objects.filter(pk=call_id)
        for request, response in one.values_list("request_body", "response_body"):
            try:
                bodies = crypto.encrypt_again(request), crypto.encrypt_again(response)
            except CredentialUnreadable:
                one.delete()
            else:
                one.update(request_body=bodies[0], response_body=bodies[1])
