"""Tells what keys are."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from keys import answers, queries, serializers
from keys.errors import KeyInfoDenied, KeyMissing, KeyNotFound
from keys.identity import MANAGEMENT, MASTER
from keys.models import VirtualKey
from keys.permissions import check_manages, is_manager
from keys.views.shared import KeyView, digests_of, named


class InfoView(KeyView):
    """GET /key/info: any key for a manager, its own for a virtual key."""

    needs_manager = False

    def get(self, request: Request) -> Response:
        """`?key=` takes a secret or a digest; without it a key reads its own info."""
        secret = self.query(queries.InfoQuery).get("key")
        is_free = self.identity is MASTER or (secret and is_manager(self.identity))
        key = self._any(secret) if is_free else self._own(secret)
        return Response({"key": secret or answers.token_of(key), "info": answers.info(key)})

    def _any(self, secret: str | None) -> VirtualKey:
        key: VirtualKey | None = named(secret).prefetch_related("secrets").first() if secret else None
        if key is None:
            raise KeyNotFound("Key not found in database; name one as in /key/info?key=sk-….")
        if key.pk != self.identity.key_id:
            check_manages(self.identity, [key.key_type])
        return key

    def _own(self, secret: str | None) -> VirtualKey:
        if self.identity.key_id is None:
            raise KeyMissing
        keys = named(secret) if secret else VirtualKey.objects.all()
        key: VirtualKey | None = keys.filter(pk=self.identity.key_id).prefetch_related("secrets").first()
        if key is None:
            raise KeyInfoDenied
        return key


class InfosView(KeyView):
    """POST /v2/key/info: several keys; those that the caller may not see are left out, as if there were none."""

    needs_manager = False

    def post(self, request: Request) -> Response:
        """`info` in the order in which the keys were issued."""
        fields = self.fields(serializers.KeysReference)
        secrets, aliases = fields.get("keys") or [], fields.get("key_aliases") or []
        asked = VirtualKey.objects.filter(secrets__digest__in=digests_of(secrets))
        asked |= VirtualKey.objects.filter(name__in=aliases)
        keys = VirtualKey.objects.filter(pk__in=asked.values("pk")).prefetch_related("secrets").order_by("pk")
        info = answers.infos(key for key in keys if self._may_see(key))
        return Response({"key": fields.get("keys") or aliases, "info": info})

    def _may_see(self, key: VirtualKey) -> bool:
        if self.identity is MASTER or key.pk == self.identity.key_id:
            return True
        return is_manager(self.identity) and not key.is_management


class ListView(KeyView):
    """GET /key/list, in pages."""

    def get(self, request: Request) -> Response:
        """The digests of one page of keys, or the whole rows with `return_full_object`."""
        query = self.query(queries.ListQuery)
        keys = queries.listed(query)
        if self.identity is not MASTER:  # as it may not see their info
            keys = keys.exclude(key_type=MANAGEMENT)
        page, figures = queries.page_of(keys, query)
        shape: Any = answers.full_objects if query["return_full_object"] else answers.tokens
        return Response({"keys": shape(page), **figures})


class AliasesView(KeyView):
    """GET /key/aliases, in pages."""

    def get(self, request: Request) -> Response:
        """The names of keys, in their order."""
        query = self.query(queries.AliasQuery)
        keys = queries.aliases(query)
        if self.identity is not MASTER:
            keys = keys.exclude(key_type=MANAGEMENT)
        names, figures = queries.names_of(keys, query)
        return Response({"aliases": names, **figures, "size": query["size"]})


class HealthView(KeyView):
    """POST /key/health: whether the key that asks is usable. LiteLLM would also try its logging callbacks."""

    needs_manager = False

    def post(self, request: Request) -> Response:
        """That it is. Raises what authentication raises, KeyMissing where no key is needed and none was sent."""
        if self.identity is not MASTER and self.identity.key_id is None:
            raise KeyMissing
        return Response({"key": "healthy", "logging_callbacks": None})
