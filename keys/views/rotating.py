"""Gives keys new secrets, and what they have spent a new beginning."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from django.contrib.admin.models import CHANGE
from django.db import transaction
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from common import money
from common.errors import InvalidRequest
from keys import answers, serializers
from keys.errors import FieldMissing
from keys.models import VirtualKey
from keys.spending import Spending, spending
from keys.views.shared import KeyView, set_spend


class RegenerateView(KeyView):
    """POST /key/regenerate and /key/{key}/regenerate: the key stays, its secret is another."""

    def post(self, request: Request, key: str | None = None) -> Response:
        """As /key/generate answers.

        Raises FieldMissing, KeyNotFound, SecretRefused, SecretTaken, NameTaken and ManagementKeyDenied.
        """
        fields = self.fields(serializers.RegenerateKey)
        secret = key or fields.get("key")
        name = None if secret else fields.pop("key_alias", None)
        if not secret and not name:
            raise FieldMissing("key: Name the key by key or key_alias, or in the path.", param="key")
        overlap = fields.get("grace_period") or timedelta(0)
        with transaction.atomic():
            row = self.managed(secret, name)
            what = self.change(row, fields)
            plain = row.rotate(overlap, fields.get("new_key"))
            until = f"; old secrets work until {timezone.now() + overlap:%Y-%m-%d %H:%M:%S} UTC" if overlap else ""
            self.record([row], CHANGE, f"Rotated{until}. {what}")
            row = VirtualKey.objects.prefetch_related("secrets").get(pk=row.pk)
        return Response({"key": plain, "duration": None, **answers.with_token(row)})


class ResetSpendView(KeyView):
    """POST /key/{key}/reset_spend: what was spent in the main period becomes less."""

    def post(self, request: Request, key: str) -> Response:
        """What was spent before and now. Raises KeyNotFound, ManagementKeyDenied, and InvalidRequest for more."""
        reset_to = self.fields(serializers.ResetSpend)["reset_to"]
        with transaction.atomic():
            row = self.managed(key)
            before = spending(row)
            _check_reset(reset_to, before, row.max_budget)
            self.record([row], CHANGE, f"Reset {set_spend(row, money.units(reset_to))}")
        return Response(
            {
                "key_hash": answers.token_of(row),
                "spend": float(reset_to),
                "previous_spend": before.dollars,
                "max_budget": None if row.max_budget is None else float(row.max_budget),
                "budget_reset_at": before.resets_at and before.resets_at.isoformat(),
            }
        )


def _check_reset(reset_to: Decimal, before: Spending, max_budget: Decimal | None) -> None:
    if money.units(reset_to) > before.units:
        raise InvalidRequest(
            f"reset_to ({float(reset_to)}) must be <= current spend ({before.dollars})", param="reset_to"
        )
    if max_budget is not None and reset_to > max_budget:
        raise InvalidRequest(f"reset_to ({float(reset_to)}) must be <= budget ({float(max_budget)})", param="reset_to")
