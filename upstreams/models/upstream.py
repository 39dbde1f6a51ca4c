"""One vLLM server: where it is, what an admin wants of it, and what probes last saw of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from copy import copy
from datetime import datetime, timedelta
from typing import Any, Self

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models, transaction
from django.utils import timezone

from common.versioned import VersionedModel, VersionedQuerySet
from upstreams import base_url
from upstreams.fields import Credential, EncryptedTextField
from upstreams.price_history import PricePeriod
from upstreams.sources import ADMIN, sources
from upstreams.version import DeletedUpstream, UpstreamsVersion

ACTIVE, DRAINING, DISABLED = "active", "draining", "disabled"
UNKNOWN, HEALTHY, UNHEALTHY = "unknown", "healthy", "unhealthy"
OLD_LOAD = timedelta(seconds=30)
"""Figures are read every 10 seconds at least; those that are older say how the server was."""
OBSERVED: dict[str, Any] = {
    "health": UNKNOWN,
    "health_text": "",
    "checked_at": None,
    "latency_ms": None,
    "vllm_version": "",
    "served_models": [],
    "served_details": [],
    "running": None,
    "waiting": None,
    "kv_cache_use": None,
    "load_at": None,
    "posture": {},
    "posture_at": None,
}


def states() -> list[tuple[str, str]]:
    """The wanted states: takes calls; takes no new ones and lets the rest finish; takes none."""
    return [(ACTIVE, "Active"), (DRAINING, "Draining"), (DISABLED, "Disabled")]


def healths() -> list[tuple[str, str]]:
    """What the last check saw."""
    return [(UNKNOWN, "Unknown"), (HEALTHY, "Healthy"), (UNHEALTHY, "Unhealthy")]


def _seconds(what: str) -> models.FloatField[float | None, float | None]:
    return models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0.01)],
        help_text=f"Seconds to wait {what}. Empty: the gateway's setting.",
    )


class UpstreamQuerySet(VersionedQuerySet["Upstream"]):
    """Upstreams. A bulk update cannot change the URL, nor the price: what that means is decided row by row."""

    def update(self, **values: Any) -> int:
        if not values.keys().isdisjoint({"url", "price_per_hour"}):
            raise ValueError("Save upstreams one by one to change their URL or price.")
        return super().update(**values)

    update.alters_data = True  # type: ignore[attr-defined]

    def make_default(self, upstream: Upstream) -> None:
        """Makes `upstream` the default, and no other, in one transaction."""
        upstream.is_default = True
        upstream.save(update_fields=["is_default", "updated_at"])

    make_default.alters_data = True  # type: ignore[attr-defined]

    def at(self, url: str) -> list[Upstream]:
        """Those whose URL leads to the same place, however it is written; none for what is no URL."""
        try:
            wanted = base_url.address(base_url.normalised(url))
        except ValidationError:
            return []
        return [upstream for upstream in self.only("name", "url") if base_url.address(upstream.url) == wanted]


class Upstream(VersionedModel):
    """One vLLM server. The first one that is added becomes the default."""

    version_row = UpstreamsVersion
    tombstone = DeletedUpstream

    name = models.CharField(max_length=100, unique=True)
    url = models.CharField(
        "URL", max_length=500, help_text="Such as http://my-vllm:8000, with or without a trailing /v1."
    )
    credential = EncryptedTextField(
        blank=True,
        default="",
        help_text="The server's own API key (--api-key). Cleared when the URL moves to another host or port.",
    )
    state = models.CharField(max_length=20, choices=states, default=ACTIVE)
    is_default = models.BooleanField(
        "default", default=False, help_text="Receives every call whose model is not an alias of a deployment."
    )
    source = models.CharField(max_length=20, choices=sources, default=ADMIN, editable=False)
    max_parallel = models.PositiveIntegerField(
        "most calls at once",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Further calls wait, or go to another upstream with the model. Empty: no ceiling.",
    )
    connect_timeout = _seconds("for the connection")
    first_byte_timeout = _seconds("for the first byte of an answer")
    idle_timeout = _seconds("between two bytes of an answer")
    total_timeout = _seconds("for a whole call")
    price_per_hour = models.DecimalField(
        max_digits=14,
        decimal_places=6,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="US dollars for an hour of the whole server, for the report on GPU hours.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    health = models.CharField(max_length=20, choices=healths, default=UNKNOWN, editable=False)
    health_text = models.TextField(blank=True, default="", editable=False)
    checked_at = models.DateTimeField(null=True, editable=False)
    latency_ms = models.FloatField(null=True, editable=False)
    vllm_version = models.CharField("vLLM version", max_length=50, blank=True, default="", editable=False)
    served_models = models.JSONField(default=list, editable=False)
    served_details = models.JSONField(default=list, editable=False)
    running = models.PositiveIntegerField(null=True, editable=False)
    waiting = models.PositiveIntegerField(null=True, editable=False)
    kv_cache_use = models.FloatField("KV-cache use", null=True, editable=False)
    load_at = models.DateTimeField(null=True, editable=False)
    posture = models.JSONField(default=dict, editable=False)
    posture_at = models.DateTimeField(null=True, editable=False)

    objects = UpstreamQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        permissions = [("control_upstream", "Can control vLLM on an upstream (sleep, LoRA adapters, caches)")]
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"], condition=models.Q(is_default=True), name="upstreams_one_default"
            )
        ]

    def __str__(self) -> str:
        return self.name

    def has_load(self, now: datetime) -> bool:
        """Whether vLLM's own figures say how busy the server is, and not how it was before it went away."""
        return self.load_at is not None and self.health != UNHEALTHY and now - self.load_at <= OLD_LOAD

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **options: Any) -> Self:
        upstream = super().from_db(db, field_names, values, **options)
        upstream._remember(field_names)
        return upstream

    def refresh_from_db(self, using: str | None = None, fields: Any = None, from_queryset: Any = None) -> None:
        super().refresh_from_db(using, fields, from_queryset)
        self._remember(fields)

    def clean(self) -> None:
        if not self.url:
            return  # whoever asks for it says so
        try:
            self.url = base_url.normalised(self.url)
        except ValidationError as error:
            raise ValidationError({"url": error.messages}) from error

    def validate_constraints(self, exclude: Collection[str] | None = None) -> None:
        # A second default is no mistake: saving it takes the mark from the first.
        super().validate_constraints({*(exclude or ()), "is_default"})

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Stores the normalised URL. Raises ValidationError when URL or credential cannot be used.

        When scheme, host or port have changed, the credential is cleared unless it has been replaced as well:
        whoever may edit a URL must not be able to have a credential sent to a server of their own (CVE-2024-6587).
        """
        if kwargs.get("update_fields") is not None:
            kwargs["update_fields"] = set(kwargs["update_fields"])
        self.url = base_url.normalised(self.url)
        with transaction.atomic():
            UpstreamsVersion.lock()
            self._leave_old_server(kwargs.get("update_fields"))
            self._take_default(kwargs.get("update_fields"))
            super().save(*args, **kwargs)
            self._note_price(kwargs.get("update_fields"))
        self._remember(kwargs.get("update_fields"))

    @classmethod
    def bury(cls, ids: Iterable[int], version: int) -> None:
        rows = list(ids)
        super().bury(rows, version)
        PricePeriod.objects.end(rows, timezone.now())

    def _note_price(self, update_fields: set[str] | None) -> None:
        """The price, and the name that the report calls it by, once they are stored."""
        if {"name", "price_per_hour"} & (update_fields or {"name"}) and "price_per_hour" in self.__dict__:
            PricePeriod.objects.note(self.pk, self.name, self.price_per_hour, self.created_at)

    def _remember(self, names: Iterable[str] | None) -> None:
        """Notes URL and credential as the database has them; `names` are the columns just read or written."""
        known = {"url", "credential"} & set(self.__dict__) & set(names or self.__dict__)
        self.__dict__.setdefault("_stored", {}).update({name: self.__dict__[name] for name in known})

    def _before(self) -> dict[str, Any]:
        """URL and credential as they were when this instance was read."""
        stored: dict[str, Any] = self.__dict__.get("_stored", {})
        if self._state.adding or len(stored) == 2:
            return stored
        row = Upstream.objects.filter(pk=self.pk).values_list("url", "credential").first()
        return dict(zip(("url", "credential"), row, strict=True)) if row else {}

    def _leave_old_server(self, update_fields: set[str] | None) -> None:
        before = self._before()
        old_credential = before.get("credential", Credential())
        if self.credential.stored != old_credential.stored:
            self.credential.check()
        if not before or before["url"] == self.url or "url" not in (update_fields or {"url"}):
            return
        for name, value in OBSERVED.items():
            setattr(self, name, copy(value))
        moved = base_url.origin(before["url"]) != base_url.origin(self.url)
        if moved and self.credential.stored == old_credential.stored:
            self.credential = Credential()
        if update_fields is not None:
            update_fields.update({"credential", *OBSERVED})

    def _take_default(self, update_fields: set[str] | None) -> None:
        if self._state.adding and not Upstream.objects.exists():
            self.is_default = True
        if self.is_default and "is_default" in (update_fields or {"is_default"}):
            others = Upstream.objects.filter(is_default=True).exclude(pk=self.pk)
            if others.exists():
                others.update(is_default=False)
