"""The key API, for the holder of the master key: LiteLLM's `/key/*` with LiteLLM's names, shapes and statuses.

Who calls is settled from the head; only then is a body read. Each write is one transaction and leaves a line in
Django's history. Belongs to the control plane: it looks keys up in the database, not in the registry.
"""

from __future__ import annotations

import time
from typing import Any, cast

from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import QuerySet
from rest_framework.authentication import BaseAuthentication
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from keys import answers, crypto, history, serializers
from keys.authentication import authenticate
from keys.errors import (
    BodyTooLarge,
    DatabaseAway,
    KeyInfoDenied,
    KeyMissing,
    KeyNotFound,
    ManagementRefused,
    SecretRefused,
)
from keys.identity import MASTER, Identity
from keys.models import KeysVersion, VirtualKey
from keys.parsers import LONGEST_BODY, ObjectParser
from keys.registry import DatabaseDirectory


class KeyAuthentication(BaseAuthentication):
    """Leaves the Identity in `request.auth`. There is no Django user."""

    def authenticate(self, request: Request) -> tuple[None, Identity]:
        """Raises keys.errors.AuthenticationRefused."""
        return None, authenticate(request.META, DatabaseDirectory(), time.time(), _already_looked)


def _already_looked() -> None:
    """The directory has asked the database itself."""


class OnlyJSON(BaseContentNegotiation):
    """JSON in and out, whatever the headers ask for."""

    def select_parser(self, request: Request, parsers: Any) -> BaseParser:
        """The one parser."""
        parser: BaseParser = parsers[0]
        return parser

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """The one renderer."""
        return renderers[0], renderers[0].media_type


class KeyView(APIView):
    """What all views of the key API share."""

    authentication_classes = [KeyAuthentication]
    parser_classes = [ObjectParser]
    content_negotiation_class = OnlyJSON
    needs_master_key = True

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuses from the head: nobody without the master key has a body read."""
        super().initial(request, *args, **kwargs)
        if self.needs_master_key and request.auth is not MASTER:
            raise ManagementRefused
        if int(request.META.get("CONTENT_LENGTH") or 0) > LONGEST_BODY:
            raise BodyTooLarge

    def handle_exception(self, exc: Exception) -> Response:
        """Translates the database's absence."""
        if isinstance(exc, OperationalError | InterfaceError):
            exc = DatabaseAway()
        return super().handle_exception(exc)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Response:
        """Answers may hold a secret: nobody on the way keeps them."""
        finished: Response = super().finalize_response(request, response, *args, **kwargs)
        finished["Cache-Control"] = "no-store"
        return finished

    def fields(self, serializer_class: type[serializers.StrictSerializer]) -> dict[str, Any]:
        """The validated fields of the body. Raises InvalidRequest."""
        return serializers.validate(serializer_class, dict(cast("dict[str, Any]", self.request.data)))

    def record(self, keys: list[VirtualKey], action: int, what: str) -> None:
        """Leaves a line in Django's history for each key."""
        claim = self.request.META.get("HTTP_LITELLM_CHANGED_BY", "")
        history.record(keys, action, what, claim.encode("ascii", "replace").decode()[:200])


class GenerateView(KeyView):
    """POST /key/generate: issues a key and shows its secret, this once."""

    def post(self, request: Request) -> Response:
        """LiteLLM's answer of 200. Raises SecretRefused, SecretTaken and NameTaken."""
        fields = self.fields(serializers.GenerateKey)
        with transaction.atomic():
            key, secret = VirtualKey.objects.issue(
                secret=fields.get("key"), created_by=MASTER.name, **serializers.columns(fields)
            )
            self.record([key], ADDITION, "Issued")
        return Response({"key": secret, "duration": None, **answers.with_token(key)})


class InfoView(KeyView):
    """GET /key/info: any key for the master key, its own for a virtual key."""

    needs_master_key = False

    def get(self, request: Request) -> Response:
        """`?key=` takes a secret or a digest; without it a key reads its own info."""
        named = request.query_params.get("key")
        key = self._any(named) if request.auth is MASTER else self._own(cast("Identity", request.auth), named)
        return Response({"key": named or answers.token_of(key), "info": answers.info(key)})

    def _any(self, named: str | None) -> VirtualKey:
        key = _named(named).first() if named else None
        if key is None:
            raise KeyNotFound("Key not found in database; name one as in /key/info?key=sk-….")
        return key

    def _own(self, identity: Identity, named: str | None) -> VirtualKey:
        if identity.key_id is None:
            raise KeyMissing
        keys = _named(named) if named else VirtualKey.objects.all()
        key = keys.filter(pk=identity.key_id).first()
        if key is None:
            raise KeyInfoDenied
        return key


class UpdateView(KeyView):
    """POST /key/update: omitted fields stay, null clears, metadata is replaced as a whole."""

    def post(self, request: Request) -> Response:
        """The changed row. Raises KeyNotFound and NameTaken."""
        fields = self.fields(serializers.UpdateKey)
        named = fields.get("key")
        changes = serializers.columns(fields)
        with transaction.atomic():
            KeysVersion.bump()  # locks: what is read now stays so until the commit
            key = (_named(named) if named else VirtualKey.objects.filter(name=changes.pop("name"))).first()
            if key is None:
                raise KeyNotFound
            for name, value in changes.items():
                setattr(key, name, value)
            key.ensure_name_is_free()
            key.save(update_fields=changes)
            self.record([key], CHANGE, f"Changed {', '.join(changes) or 'nothing'}")
        return Response({"key": named or answers.token_of(key), **answers.with_token(key)})


class DeleteView(KeyView):
    """POST /key/delete: by secrets, digests or aliases."""

    def post(self, request: Request) -> Response:
        """Echoes what was named, as LiteLLM does, when at least one existed. Raises KeyNotFound."""
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
        """The changed row. Raises SecretRefused for what cannot be a key, and KeyNotFound."""
        named = self.fields(serializers.KeyReference)["key"]
        if not (named.startswith("sk-") or crypto.is_digest(named)):
            raise SecretRefused("Invalid key format.")
        with transaction.atomic():
            KeysVersion.bump()
            key = _named(named).first()
            if key is None:
                raise KeyNotFound
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
        total, start = keys.count(), (query["page"] - 1) * query["size"]
        page = keys.prefetch_related("secrets")[start : start + query["size"]]
        shape = answers.with_token if query["return_full_object"] else answers.token_of
        return Response(
            {
                "keys": [shape(key) for key in page],
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
