"""The servers that calls can go to, and which models they serve. Knows neither keys nor traffic.

Every process keeps a copy (`upstreams.pool`): writes bump the version, observations are written quietly.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any, Self

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models, transaction
from django.utils import timezone

from common.versioned import VersionedModel, VersionedQuerySet
from upstreams import base_url
from upstreams.fields import Credential, EncryptedTextField
from upstreams.price_history import PricePeriod
from upstreams.pricing import Prices
from upstreams.routing import ModelAlias, Routing
from upstreams.sources import ADMIN, CONFIG, DISCOVERED, ENVIRONMENT, sources
from upstreams.version import DeletedUpstream, UpstreamsVersion

__all__ = [
    "ADMIN",
    "CONFIG",
    "DISCOVERED",
    "ENVIRONMENT",
    "DeletedUpstream",
    "Deployment",
    "EncryptionCanary",
    "ModelAlias",
    "PricePeriod",
    "Routing",
    "Upstream",
    "UpstreamsVersion",
]

ACTIVE, DRAINING, DISABLED = "active", "draining", "disabled"
UNKNOWN, HEALTHY, UNHEALTHY = "unknown", "healthy", "unhealthy"
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

    objects = UpstreamQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"], condition=models.Q(is_default=True), name="upstreams_one_default"
            )
        ]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **options: Any) -> Self:
        upstream = super().from_db(db, field_names, values, **options)
        upstream._remember(field_names)
        return upstream

    def refresh_from_db(self, using: str | None = None, fields: Any = None, from_queryset: Any = None) -> None:
        super().refresh_from_db(using, fields, from_queryset)
        self._remember(fields)

    def clean(self) -> None:
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
            setattr(self, name, [] if isinstance(value, list) else value)
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


def _dollars(what: str) -> models.DecimalField[Decimal | None, Decimal | None]:
    return models.DecimalField(
        max_digits=20,
        decimal_places=12,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text=f"US dollars for {what}.",
    )


class DeploymentQuerySet(models.QuerySet["Deployment"]):
    """Deployments, whose writes mark their upstreams as changed."""

    def _upstream_ids(self) -> set[int]:
        return set(self.values_list("upstream_id", flat=True))

    def update(self, **values: Any) -> int:
        with transaction.atomic():
            moved_to = values.get("upstream_id", getattr(values.get("upstream"), "pk", None))
            _touch({*self._upstream_ids(), *([moved_to] if moved_to else [])})
            return super().update(**values)

    update.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            _touch(self._upstream_ids())
            return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[Deployment], *args: Any, **kwargs: Any) -> list[Deployment]:
        rows = list(objs)
        with transaction.atomic():
            _touch({row.upstream_id for row in rows})
            return super().bulk_create(rows, *args, **kwargs)


class Deployment(models.Model):
    """One model as served by one upstream. Several upstreams may serve one alias."""

    upstream = models.ForeignKey(Upstream, on_delete=models.CASCADE, related_name="deployments")
    alias = models.CharField("model alias", max_length=200, help_text="The model name that clients ask for.")
    served_name = models.CharField(
        max_length=200, blank=True, help_text="The name that vLLM was started with; empty: the same as the alias."
    )
    source = models.CharField(max_length=20, choices=sources, default=ADMIN, editable=False)
    hidden = models.BooleanField(
        default=False,
        help_text="Nobody can see it, or call it by this name; other names of the same model go on working.",
    )
    weight = models.PositiveIntegerField(
        default=1, validators=[MinValueValidator(1)], help_text="Its share of the calls, with weighted round robin."
    )
    input_cost_per_token = _dollars("one prompt token")
    output_cost_per_token = _dollars("one completion token")
    cache_read_input_token_cost = _dollars("one prompt token that was cached; empty: the same as others")
    cost_per_second = _dollars("one second of a call")
    cost_per_request = _dollars("one call")
    rpm = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Calls a minute that it is made for. Stands in for the weight where that is 1; it is no limit yet.",
    )
    tpm = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Tokens a minute that it is made for. Stands in for the weight without rpm; it is no limit yet.",
    )
    info = models.JSONField(default=dict, blank=True, help_text='LiteLLM\'s model_info, such as {"mode": "chat"}.')

    objects = DeploymentQuerySet.as_manager()

    class Meta:
        ordering = ["alias"]
        constraints = [models.UniqueConstraint(fields=["upstream", "alias"], name="upstreams_one_alias_per_upstream")]

    def __str__(self) -> str:
        return self.alias

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.alias = self.alias.strip()
        self.served_name = self.served_name.strip() or self.alias
        with transaction.atomic():
            before = Deployment.objects.filter(pk=self.pk).values_list("upstream_id", flat=True)
            _touch({*before, self.upstream_id})
            super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            _touch({self.upstream_id})
            return super().delete(*args, **kwargs)

    @property
    def is_edited(self) -> bool:
        """Whether somebody has made more of it than a server's list of models tells."""
        untouched: tuple[object, ...] = (self.alias, False, 1, None, None, {})
        is_priced = Prices.of(self) is not None
        return is_priced or (self.served_name, self.hidden, self.weight, self.rpm, self.tpm, self.info) != untouched

    @property
    def share(self) -> int:
        """Its weight; where that was not set, LiteLLM's rpm or tpm stands in."""
        return self.weight if self.weight != 1 else self.rpm or self.tpm or 1


def _touch(upstream_ids: Collection[int]) -> None:
    """Gives the upstreams a new version."""
    Upstream.objects.filter(pk__in=upstream_ids).update()


class EncryptionCanary(models.Model):
    """One row (id 1): a known text under the encryption keys, which proves at start that they fit the database."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    token = models.TextField()

    def __str__(self) -> str:
        return "canary"
