"""What an hour of an upstream has cost, and when: the report on GPU hours asks for months that are over, and for
upstreams that are gone.

The first price of an upstream counts from the moment at which it was added; each later one from its change. One that
is changed again within the hour was a slip, and the later one takes its place.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import models
from django.db.models import Q
from django.utils import timezone

SLIP = timedelta(hours=1)


class PricePeriodQuerySet(models.QuerySet["PricePeriod"]):
    """Questions about prices, and how they come to be noted."""

    def between(self, start: datetime, end: datetime) -> PricePeriodQuerySet:
        """The periods that have a part in this time."""
        return self.filter(Q(ends_at__gt=start) | Q(ends_at=None), begins_at__lt=end)

    def note(self, upstream_id: int, name: str, price: Decimal | None, created_at: datetime) -> None:
        """Notes the price that an upstream has from now on; None is none. Call it in the upstream's transaction."""
        own = list(self.filter(upstream_id=upstream_id))
        if any(one.upstream_name != name for one in own):
            self.filter(upstream_id=upstream_id).update(upstream_name=name)
        current = next((one for one in own if one.ends_at is None), None)
        if (None if price is None else Decimal(str(price))) == (current and current.price_per_hour):
            return
        now = timezone.now()
        if current is not None and price is not None and now - current.noted_at < SLIP:
            self.filter(pk=current.pk).update(price_per_hour=price)
            return
        self.end([upstream_id], now)
        if price is not None:
            begins_at = now if own else created_at
            self.create(upstream_id=upstream_id, upstream_name=name, price_per_hour=price, begins_at=begins_at)

    def end(self, upstream_ids: Iterable[int], now: datetime) -> None:
        """These upstreams cost nothing any more."""
        self.filter(upstream_id__in=list(upstream_ids), ends_at=None).update(ends_at=now)


class PricePeriod(models.Model):
    """What an hour of one upstream cost from one moment to another. Its id and name are copies, and outlive it."""

    upstream_id = models.BigIntegerField()
    upstream_name = models.CharField(max_length=100)
    price_per_hour = models.DecimalField(max_digits=14, decimal_places=6)
    begins_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)
    noted_at = models.DateTimeField(default=timezone.now)

    objects = PricePeriodQuerySet.as_manager()

    class Meta:
        ordering = ["begins_at", "pk"]
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["upstream_id"], condition=models.Q(ends_at=None), name="upstreams_one_price_now"
            )
        ]

    def __str__(self) -> str:
        return f"{self.upstream_name}: {self.price_per_hour}"
