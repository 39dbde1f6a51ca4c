"""What the views of management share: authentication from the head, JSON in and out, one shape of refusal.

Belongs to the control plane: it looks keys up in the database, not in the registry.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, cast

from django.conf import settings
from django.db import InterfaceError, OperationalError
from rest_framework.authentication import BaseAuthentication
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from keys import strict
from keys.authentication import authenticate
from keys.errors import BodyTooLarge, DatabaseAway
from keys.identity import Identity
from keys.parsers import LONGEST_BODY, ObjectParser
from keys.permissions import check_manager
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


class ManagementView(APIView):
    """A view for managers; where `needs_manager` is off, for every usable key."""

    authentication_classes = [KeyAuthentication]
    parser_classes = [ObjectParser]
    content_negotiation_class = OnlyJSON
    needs_manager = True

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuses from the head: only a manager has a body read."""
        super().initial(request, *args, **kwargs)
        if self.needs_manager:
            check_manager(self.identity)
        if int(request.META.get("CONTENT_LENGTH") or 0) > LONGEST_BODY:
            raise BodyTooLarge

    @property
    def identity(self) -> Identity:
        """Who asks."""
        return cast("Identity", self.request.auth)

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

    def fields(self, serializer_class: type[strict.StrictSerializer]) -> dict[str, Any]:
        """The validated fields of the body. Raises InvalidRequest."""
        return self.validated(serializer_class, dict(cast("dict[str, Any]", self.request.data)))

    def validated(self, serializer_class: type[strict.StrictSerializer], given: Mapping[str, Any]) -> dict[str, Any]:
        """The validated fields of an object. Raises InvalidRequest."""
        return strict.validate(serializer_class, given, lenient=settings.LENIENT_KEY_API)
