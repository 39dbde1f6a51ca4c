"""The page of one captured payload. Whoever opens it is written into the history of its capture."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from common.admin import log_changes
from gateway.admin_pages.captures import payload_of, visible_payloads
from gateway.admin_pages.log_curl import BODY_SOURCES
from gateway.capture.models import CapturedPayload
from gateway.models import RequestLog
from upstreams.errors import CredentialUnreadable

if TYPE_CHECKING:
    _PayloadAdmin = admin.ModelAdmin[CapturedPayload]
else:
    _PayloadAdmin = admin.ModelAdmin


class CapturedPayloadAdmin(_PayloadAdmin):
    """Shows one; the list of them is on the page of their capture."""

    actions = None
    list_display = ("__str__", "captured_at", "key_name", "model")
    sortable_by = ()

    def get_model_perms(self, request: HttpRequest) -> dict[str, bool]:
        """Not in the navigation."""
        return {}

    def get_queryset(self, request: HttpRequest) -> QuerySet[CapturedPayload]:
        return visible_payloads(request.user).select_related("capture")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """There is none of its own."""
        return redirect("admin:gateway_payloadcapture_changelist")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if row is not None and self.has_view_permission(request, row):
            log_changes(request, [row.capture, row], f"Read the payload of call {row.call_id.hex}.")
            context = {"title": f"Payload of call {row.call_id.hex}", "subtitle": None, "parts": _parts(row)}
        response = super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})
        response.headers["Cache-Control"] = "no-store"
        return response


def captured_body(request: HttpRequest, call: RequestLog) -> bytes | None:
    """The whole body of a captured call, for the `curl` that repeats it: only for who asked for it on the payload's
    page, and written into the history as any reading."""
    if "payload" not in request.GET:
        return None
    payload = payload_of(request, call)
    if payload is None or payload.request_cut:
        return None
    with contextlib.suppress(CredentialUnreadable):
        log_changes(request, [payload.capture, payload], f"Repeated call {payload.call_id.hex} as a command.")
        return payload.reveal()[0]
    return None


BODY_SOURCES.append(captured_body)


def _parts(row: CapturedPayload) -> list[dict[str, Any]]:
    request: bytes | None = None
    response: bytes | None = None
    with contextlib.suppress(CredentialUnreadable):
        request, response = row.reveal()
    return [
        {
            "name": name,
            "body": shown(body),
            "is_unreadable": body is None,
            "type": content_type,
            "bytes": size,
            "is_cut": is_cut,
        }
        for name, body, content_type, size, is_cut in (
            ("Request", request, row.request_type, row.request_bytes, row.request_cut),
            ("Response", response, row.response_type, row.response_bytes, row.response_cut),
        )
    ]


def shown(body: bytes | None) -> str:
    """A body as text: JSON with indents, other text as it is; empty where it is none."""
    if not body:
        return ""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        # A body may be cut in the middle of a letter; what is not text before that is no text.
        if error.start < len(body) - 4:
            return ""
        text = body[: error.start].decode()
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
