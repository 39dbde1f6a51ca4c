"""What the page of a call tells of its captured payload."""

from __future__ import annotations

from typing import Any

from django import template

from gateway.admin_pages.captures import payload_of
from gateway.models import RequestLog

register = template.Library()


@register.inclusion_tag("admin/gateway/capturedpayload/link.html", takes_context=True)
def captured_payload(context: dict[str, Any], call: RequestLog) -> dict[str, Any]:
    """A line that leads to what was captured of the call; nothing for who may not read it."""
    return {"payload": payload_of(context["request"], call)}
