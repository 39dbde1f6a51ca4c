"""The one place that writes error bodies: `{"error": {"message", "type", "param", "code"}}`, as vLLM does."""

from __future__ import annotations

import logging
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from rest_framework.exceptions import APIException
from rest_framework.response import Response

from common.errors import GatewayError, InvalidRequest

logger = logging.getLogger(__name__)


def translate(error: Exception) -> GatewayError:
    """Any exception as one of ours. What is not expected becomes a 500 that says nothing of itself."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, APIException):
        return _with_status(InvalidRequest(str(error.detail)), error.status_code)
    logger.error("Unexpected error", exc_info=error)
    return GatewayError()


def _with_status(error: GatewayError, status: int) -> GatewayError:
    error.status_code = status
    return error


def headers(error: GatewayError) -> dict[str, str]:
    """The headers that go with an error."""
    retry_after = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return {**error.headers, **retry_after}


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's EXCEPTION_HANDLER."""
    ours = translate(error)
    return Response(ours.body(), status=ours.status_code, headers=headers(ours))


def answer(error: GatewayError) -> JsonResponse:
    """The same body where there is no DRF view."""
    response = JsonResponse(error.body(), status=error.status_code, headers=headers(error))
    response.headers["Content-Length"] = str(len(response.content))
    return response


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django's handler404: a page for people in the admin, our JSON for programs."""
    if request.path.startswith("/admin/"):
        from django.contrib import admin  # the relay, which has this handler too, has no admin

        return render(request, "admin/404.html", admin.site.each_context(request), status=404)
    refusal = InvalidRequest("There is nothing at this address.")
    refusal.status_code, refusal.type = 404, "not_found_error"
    return answer(refusal)


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django's handler403: who is signed in to the admin and may not do this."""
    if request.path.startswith("/admin/"):
        from django.contrib import admin

        return render(request, "admin/403.html", admin.site.each_context(request), status=403)
    refusal = InvalidRequest("You may not do this.")
    refusal.status_code, refusal.type = 403, "permission_denied"
    return answer(refusal)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    """Django's handler400: a host name that is not in ALLOWED_HOSTS, and whatever else Django finds suspicious."""
    return answer(InvalidRequest())


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500, for the same two."""
    if request.path.startswith("/admin/"):
        return render(request, "admin/500.html", status=500)
    return answer(GatewayError())
