"""The key API, for managers: LiteLLM's `/key/*` with LiteLLM's names, shapes and statuses.

Each write is one transaction and leaves a line in Django's history. A manager holds the master key or a management
key; the latter can do nothing to keys of its own kind.
"""

from __future__ import annotations

from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.db import transaction
from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from common import money
from keys import answers, crypto, history, serializers
from keys.base_view import ManagementView
from keys.errors import KeyInfoDenied, KeyMissing, KeyNotFound, SecretRefused
from keys.identity import DEFAULT, MANAGEMENT, MASTER
from keys.models import KeysVersion, VirtualKey
from keys.permissions import check_manages, is_manager
from keys.spending import start_with


class KeyView(ManagementView):
    """What all views of the key API share."""

    def record(self, keys: list[VirtualKey], action: int, what: str) -> None:
        """Leaves a line in Django's history for each key."""
        claim = self.request.META.get("HTTP_LITELLM_CHANGED_BY", "")
        history.record(self.identity, keys, action, what, claim.encode("ascii", "replace").decode()[:200])


class GenerateView(KeyView):
    """POST /key/generate: issues a key and shows its secret, this once."""

    def post(self, request: Request) -> Response:
        """LiteLLM's answer of 200. Raises SecretRefused, SecretTaken, NameTaken and ManagementKeyDenied."""
        fields = self.fields(serializers.GenerateKey)
        columns = serializers.columns(fields)
        check_manages(self.identity, [columns.get("key_type", DEFAULT)])
        with transaction.atomic():
            key, secret = VirtualKey.objects.issue(
                secret=fields.get("key"), created_by=history.name_of(self.identity), **columns
            )
            start_with(key, money.units(fields.get("spend") or 0))
            self.record([key], ADDITION, "Issued")
        return Response({"key": secret, "duration": None, **answers.with_token(key)})


class InfoView(KeyView):
    """GET /key/info: any key for a manager, its own for a virtual key."""

    needs_manager = False

    def get(self, request: Request) -> Response:
        """`?key=` takes a secret or a digest; without it a key reads its own info."""
        named = request.query_params.get("key")
        is_free = self.identity is MASTER or (named and is_manager(self.identity))
        key = self._any(named) if is_free else self._own(named)
        return Response({"key": named or answers.token_of(key), "info": answers.info(key)})

    def _any(self, named: str | None) -> VirtualKey:
        key = _named(named).first() if named else None
        if key is None:
            raise KeyNotFound("Key not found in database; name one as in /key/info?key=sk-….")
        if key.pk != self.identity.key_id:
            check_manages(self.identity, [key.key_type])
        return key

    def _own(self, named: str | None) -> VirtualKey:
        if self.identity.key_id is None:
            raise KeyMissing
        keys = _named(named) if named else VirtualKey.objects.all()
        key = keys.filter(pk=self.identity.key_id).first()
        if key is None:
            raise KeyInfoDenied
        return key


class UpdateView(KeyView):
    """POST /key/update: omitted fields stay, null clears, metadata is replaced as a whole."""

    def post(self, request: Request) -> Response:
        """The changed row. Raises KeyNotFound, NameTaken and ManagementKeyDenied."""
        fields = self.fields(serializers.UpdateKey)
        named = fields.get("key")
        with transaction.atomic():
            KeysVersion.bump()  # locks: what is read now stays so until the commit
            key = (_named(named) if named else VirtualKey.objects.filter(name=fields.pop("key_alias"))).first()
            if key is None:
                raise KeyNotFound
            changes = serializers.columns(fields, key)
            what = history.changes(key, changes)
            check_manages(self.identity, [key.key_type, changes.get("key_type", DEFAULT)])
            for name, value in changes.items():
                setattr(key, name, value)
            key.ensure_name_is_free()
            key.save(update_fields=changes)
            self.record([key], CHANGE, what)
        return Response({"key": named or answers.token_of(key), **answers.with_token(key)})


class DeleteView(KeyView):
    """POST /key/delete: by secrets, digests or aliases."""

    def post(self, request: Request) -> Response:
        """Echoes what was named, as LiteLLM does. Raises KeyNotFound when none exists, and ManagementKeyDenied."""
        fields = self.fields(serializers.DeleteKeys)
        named, aliases = fields.get("keys") or [], fields.get("key_aliases") or []
        digests = [text if crypto.is_digest(text) else crypto.digest(text) for text in named]
        with transaction.atomic():
            KeysVersion.bump()
            doomed = VirtualKey.objects.filter(secrets__digest__in=digests) | VirtualKey.objects.filter(
                name__in=aliases
            )
            keys = list(VirtualKey.objects.filter(pk__in=doomed.values("pk")).prefetch_related("secrets"))
            if not keys:
                raise KeyNotFound("No keys found.", param="keys")
            check_manages(self.identity, [key.key_type for key in keys])
            self.record(keys, DELETION, "Deleted")
            VirtualKey.objects.filter(pk__in=[key.pk for key in keys]).delete()
        return Response({"deleted_keys": [*named, *aliases]})


class SwitchView(KeyView):
    """POST /key/block and /key/unblock."""

    what: str

    def switch(self, key: VirtualKey) -> None:
        """Does it."""
        raise NotImplementedError

    def post(self, request: Request) -> Response:
        """The changed row. Raises SecretRefused for what cannot be a key, KeyNotFound and ManagementKeyDenied."""
        named = self.fields(serializers.KeyReference)["key"]
        if not (named.startswith("sk-") or crypto.is_digest(named)):
            raise SecretRefused("Invalid key format.")
        with transaction.atomic():
            KeysVersion.bump()
            key = _named(named).first()
            if key is None:
                raise KeyNotFound
            check_manages(self.identity, [key.key_type])
            self.switch(key)
            self.record([key], CHANGE, self.what)
        return Response(answers.with_token(key))


class BlockView(SwitchView):
    """POST /key/block."""

    what = "Blocked"

    def switch(self, key: VirtualKey) -> None:
        """Blocks the key."""
        key.block()


class UnblockView(SwitchView):
    """POST /key/unblock."""

    what = "Unblocked"

    def switch(self, key: VirtualKey) -> None:
        """Unblocks the key."""
        key.unblock()


class ListView(KeyView):
    """GET /key/list, in pages."""

    def get(self, request: Request) -> Response:
        """The digests of one page of keys, or the whole rows with `return_full_object`."""
        query = serializers.validate(serializers.ListQuery, request.query_params.dict())
        keys = _listed(query)
        if self.identity is not MASTER:  # as it may not see their info
            keys = keys.exclude(key_type=MANAGEMENT)
        total, start = keys.count(), (query["page"] - 1) * query["size"]
        page = keys.prefetch_related("secrets")[start : start + query["size"]]
        shape: Any = answers.full_objects if query["return_full_object"] else answers.tokens
        return Response(
            {
                "keys": shape(page),
                "total_count": total,
                "current_page": query["page"],
                "total_pages": -(-total // query["size"]),
            }
        )


def _listed(query: dict[str, Any]) -> QuerySet[VirtualKey]:
    keys = _named(query["key_hash"]) if query.get("key_hash") else VirtualKey.objects.all()
    for name, column in (("user_id", "user_id"), ("key_alias", "name")):
        if query.get(name):
            keys = keys.filter(**{column: query[name]})
    sign = "-" if query["sort_order"] == "desc" else ""
    return keys.order_by(sign + serializers.ListQuery.sortable[query["sort_by"]], f"{sign}pk")


def _named(secret_or_digest: str) -> QuerySet[VirtualKey]:
    keys: QuerySet[VirtualKey] = VirtualKey.objects.with_secret(secret_or_digest)
    return keys
