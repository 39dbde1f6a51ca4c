"""What all views of the key API share: finding the key that is meant, changing it, and the history of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Model

from common import money
from keys import crypto, history, serializers, strict
from keys.base_view import ManagementView
from keys.errors import KeyNotFound
from keys.identity import DEFAULT
from keys.models import KeysVersion, VirtualKey
from keys.permissions import check_manages
from keys.spending import set_spent, spending


class KeyView(ManagementView):
    """What all views of the key API share."""

    def record(self, rows: Iterable[Model], action: int, what: str) -> None:
        """Leaves a line in Django's history for each row."""
        claim = self.request.META.get("HTTP_LITELLM_CHANGED_BY", "")
        history.record(self.identity, rows, action, what, claim.encode("ascii", "replace").decode()[:200])

    def query(self, serializer_class: type[strict.StrictSerializer]) -> dict[str, Any]:
        """The validated query. Raises InvalidRequest."""
        return self.validated(serializer_class, self.request.query_params.dict())

    def managed(self, secret_or_digest: str | None, name: str | None = None) -> VirtualKey:
        """The key that is to be changed, by a secret, a digest, or its name. Call it in the transaction of the change.

        Raises KeyNotFound and ManagementKeyDenied.
        """
        KeysVersion.bump()  # locks: what is read now stays so until the commit
        keys = named(secret_or_digest) if secret_or_digest else VirtualKey.objects.filter(name=name)
        key: VirtualKey | None = keys.prefetch_related("secrets").first()
        if key is None:
            raise KeyNotFound
        check_manages(self.identity, [key.key_type])
        return key

    def change(self, key: VirtualKey, fields: Mapping[str, Any]) -> str:
        """Gives the key what the validated fields say, and tells what that changed.

        Raises NameTaken and ManagementKeyDenied.
        """
        changes = serializers.columns(fields, key)
        check_manages(self.identity, [changes.get("key_type", DEFAULT)])
        what = history.changes(key, changes)
        for name, value in changes.items():
            setattr(key, name, value)
        key.ensure_name_is_free()
        key.save(update_fields=changes)
        spend = fields.get("spend")
        return what if spend is None else f"{what}, {set_spend(key, money.units(spend))}"


def set_spend(key: VirtualKey, units: int) -> str:
    """Sets anew what the key has spent, and tells it."""
    before = spending(key).units
    set_spent(key, units)
    return f"spend ({money.shown(before)} → {money.shown(units)})"


def named(secret_or_digest: str) -> Any:
    """The key with this secret, in plain or as its digest, if there is one."""
    return VirtualKey.objects.with_secret(secret_or_digest)


def digests_of(secrets_or_digests: Iterable[str]) -> list[str]:
    """The digest of each."""
    return [text if crypto.is_digest(text) else crypto.digest(text) for text in secrets_or_digests]
