"""One model as served by one upstream. Each write marks the upstream as changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any

from django.core.validators import MinValueValidator
from django.db import models, transaction

from upstreams.models.upstream import Upstream
from upstreams.pricing import Prices
from upstreams.sources import ADMIN, sources


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
