"""Issues, changes, blocks and deletes keys."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.db import transaction
from django.db.models import prefetch_related_objects
from rest_framework.request import Request
from rest_framework.response import Response

from common import money
from common.errors import GatewayError, InvalidRequest
from keys import answers, crypto, history, serializers
from keys.errors import KeyNotFound, SecretRefused
from keys.identity import DEFAULT
from keys.models import KeysVersion, Team, VirtualKey
from keys.permissions import check_manages
from keys.spending import start_with
from keys.views.shared import KeyView, digests_of


class GenerateView(KeyView):
    """POST /key/generate: issues a key and shows its secret, this once."""

    def post(self, request: Request) -> Response:
        """LiteLLM's answer of 200. Raises SecretRefused, SecretTaken, NameTaken and ManagementKeyDenied."""
        return self.issue(self.fields(serializers.GenerateKey))

    def issue(self, fields: dict[str, Any]) -> Response:
        """Issues a key with the validated fields."""
        columns = serializers.columns(fields)
        check_manages(self.identity, [columns.get("key_type", DEFAULT)])
        with transaction.atomic():
            key, secret = VirtualKey.objects.issue(
                secret=fields.get("key"), created_by=history.name_of(self.identity), **columns
            )
            prefetch_related_objects([key], "secrets")  # which history and answer ask for several times
            start_with(key, money.units(fields.get("spend") or 0))
            self.record([key], ADDITION, "Issued")
        return Response({"key": secret, "duration": None, **answers.with_token(key)})


class ServiceAccountView(GenerateView):
    """POST /key/service-account/generate: a key that belongs to a team and to nobody in it."""

    def post(self, request: Request) -> Response:
        """As /key/generate. Raises InvalidRequest without a team that exists."""
        fields = self.fields(serializers.ServiceAccountKey)
        if not Team.objects.filter(team_id=fields["team_id"]).exists():
            raise InvalidRequest("team_id does not exist; make it with /team/new.", param="team_id")
        name = fields.get("key_alias") or str(uuid4())
        fields["metadata"] = {"service_account_id": name, **(fields.get("metadata") or {})}
        return self.issue(fields)


class UpdateView(KeyView):
    """POST /key/update: omitted fields stay, null clears, metadata is replaced as a whole."""

    def post(self, request: Request) -> Response:
        """The changed row. Raises KeyNotFound, NameTaken and ManagementKeyDenied."""
        return Response(self.update(self.fields(serializers.UpdateKey)))

    def update(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Does it, in one transaction, and answers the row."""
        secret = fields.get("key")
        with transaction.atomic():
            key = self.managed(secret, None if secret else fields.pop("key_alias"))
            self.record([key], CHANGE, self.change(key, fields))
        return {"key": secret or answers.token_of(key), **answers.with_token(key)}


class BulkUpdateView(UpdateView):
    """POST /key/bulk_update: several updates, each done or refused by itself."""

    def post(self, request: Request) -> Response:
        """LiteLLM's lists of the changed and of those that were not, each with its reason."""
        items = self.fields(serializers.BulkUpdate)["keys"]
        done: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        with transaction.atomic():
            for item in items:
                named = item.get("key") if isinstance(item, dict) else None
                try:
                    done.append({"key": named, "key_info": self._update_one(item)})
                except GatewayError as error:
                    failed.append({"key": named, "key_info": None, "failed_reason": error.message})
        return Response({"total_requested": len(items), "successful_updates": done, "failed_updates": failed})

    def _update_one(self, item: object) -> dict[str, Any]:
        if not isinstance(item, dict):
            raise InvalidRequest("Each of the keys must be a JSON object.", param="keys")
        return self.update(self.validated(serializers.UpdateKey, item))


class DeleteView(KeyView):
    """POST /key/delete: by secrets, digests or aliases."""

    def post(self, request: Request) -> Response:
        """Echoes what was named, as LiteLLM does. Raises KeyNotFound when none exists, and ManagementKeyDenied."""
        fields = self.fields(serializers.KeysReference)
        secrets, aliases = fields.get("keys") or [], fields.get("key_aliases") or []
        with transaction.atomic():
            KeysVersion.bump()
            doomed = VirtualKey.objects.filter(secrets__digest__in=digests_of(secrets))
            doomed |= VirtualKey.objects.filter(name__in=aliases)
            keys = list(VirtualKey.objects.filter(pk__in=doomed.values("pk")).prefetch_related("secrets"))
            if not keys:
                raise KeyNotFound("No keys found.", param="keys")
            check_manages(self.identity, [key.key_type for key in keys])
            self.record(keys, DELETION, "Deleted")
            VirtualKey.objects.filter(pk__in=[key.pk for key in keys]).delete()
        return Response({"deleted_keys": [*secrets, *aliases]})


class SwitchView(KeyView):
    """POST /key/block and /key/unblock."""

    what: str

    def switch(self, key: VirtualKey) -> None:
        """Does it."""
        raise NotImplementedError

    def post(self, request: Request) -> Response:
        """The changed row. Raises SecretRefused for what cannot be a key, KeyNotFound and ManagementKeyDenied."""
        fields = self.fields(serializers.KeyReference)
        secret = fields.get("key")
        if secret is not None and not (secret.startswith("sk-") or crypto.is_digest(secret)):
            raise SecretRefused("Invalid key format.")
        with transaction.atomic():
            key = self.managed(secret, fields.get("key_alias"))
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
