"""Where clients reach the gateway, for whatever they are given to paste."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def public_address(request: HttpRequest) -> str:
    """GATEWAY_PUBLIC_URL, or the address that the viewer is at; without a slash at its end."""
    return settings.PUBLIC_URL or request.build_absolute_uri("/")[:-1]
