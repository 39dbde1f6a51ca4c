"""How calls are routed: in general, and where one alias differs. Each write bumps the version of the copies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models, transaction

from upstreams.selection import STRATEGIES
from upstreams.sources import ADMIN, sources
from upstreams.version import UpstreamsVersion


def strategies() -> list[tuple[str, str]]:
    """The ways to choose among candidates."""
    return [(name, name.replace("_", " ").capitalize()) for name in STRATEGIES]


class _Announced(models.Model):
    """What every process keeps a copy of beside the upstreams: each write bumps their version."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            UpstreamsVersion.bump()
            super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            UpstreamsVersion.bump()
            return super().delete(*args, **kwargs)


class AnnouncedQuerySet(models.QuerySet[Any]):
    """Bulk writes that bump the version too."""

    def update(self, **values: Any) -> int:
        with transaction.atomic():
            UpstreamsVersion.bump()
            return super().update(**values)

    update.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            UpstreamsVersion.bump()
            return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        with transaction.atomic():
            UpstreamsVersion.bump()
            return super().bulk_create(objs, *args, **kwargs)


class ModelAlias(_Announced):
    """How the calls for one alias are routed, where that differs from all others. Most aliases need no such row."""

    name = models.CharField(max_length=200, unique=True, help_text="A model alias of a deployment, or a new name.")
    stands_for = models.CharField(
        max_length=200, blank=True, default="", help_text="Another alias, to whose deployments the calls go."
    )
    strategy = models.CharField(
        max_length=50, choices=strategies, blank=True, default="", help_text="Empty: the one of the routing."
    )
    prefix_bytes = models.PositiveIntegerField(
        null=True, blank=True, help_text="With prefix affinity: how much of the prompt decides."
    )
    source = models.CharField(max_length=20, choices=sources, default=ADMIN, editable=False)

    objects = AnnouncedQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        verbose_name = "model alias"
        verbose_name_plural = "model aliases"

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.stands_for and self.stands_for == self.name:
            raise ValidationError({"stands_for": "An alias cannot stand for itself."})


class Routing(_Announced):
    """How calls are routed in general: one row (id 1)."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    strategy = models.CharField(max_length=50, choices=strategies, default="least_in_flight")
    most_attempts = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="How many upstreams one call tries at most. Empty: each that has the model.",
    )
    cooldown_seconds = models.FloatField(
        default=5.0, validators=[MinValueValidator(0)], help_text="How long an upstream that fails is passed over."
    )
    failures_before_cooldown = models.PositiveIntegerField(
        default=3, validators=[MinValueValidator(1)], help_text="Failures in a row, of whichever calls."
    )
    prefix_bytes = models.PositiveIntegerField(
        default=1024, help_text="With prefix affinity: how much of the prompt decides."
    )

    objects = AnnouncedQuerySet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "routing"

    def __str__(self) -> str:
        return "Routing"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self._state.adding = False  # there may be a row by now: Django would insist on inserting one
        super().save(*args, **kwargs)

    @classmethod
    def current(cls) -> Routing:
        """The row, or its defaults while nobody has saved it."""
        return cls.objects.filter(pk=1).first() or cls()
