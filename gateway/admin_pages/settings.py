"""The page of the settings in force: settings, Django's system checks, and what the doctor finds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings as in_force
from django.contrib import admin
from django.core import checks
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from common.admin import BAD, GOOD, QUIET, WARNING
from gateway import settings
from gateway.doctor import examine
from gateway.environment import DEFAULT, ENVIRONMENT, FILE, GENERATED
from gateway.settings_in_force import settings_in_force

PERMISSION = "gateway.view_settings_in_force"

SOURCE_WORDS = {ENVIRONMENT: "environment", FILE: "file", GENERATED: "generated", DEFAULT: "default"}
DOCTOR_WORDS = {GOOD: "Good", WARNING: "Warning", BAD: "Bad"}


def settings_view(request: HttpRequest) -> HttpResponse:
    """The page. What the doctor finds is looked up now, which takes seconds while an upstream is silent."""
    groups = settings_in_force(settings.env.readings.values())
    lines = [line for group in groups.values() for line in group]
    findings = [(finding, DOCTOR_WORDS[finding.kind]) for finding in examine()]
    context = {
        **admin.site.each_context(request),
        "title": "Settings in force",
        "groups": groups.items(),
        "changed": sum(not line.is_default for line in lines),
        "total": len(lines),
        "findings": findings,
        "troubles": sum(finding.kind != GOOD for finding, _ in findings),
        "checks": list(system_checks()),
    }
    return TemplateResponse(request, "admin/settings/index.html", context)


def system_checks() -> Iterator[dict[str, Any]]:
    """What Django's system checks say, those for a deployment included."""
    silenced = set(in_force.SILENCED_SYSTEM_CHECKS)
    for message in checks.run_checks(include_deployment_checks=True):
        if message.id in silenced:
            continue
        is_error = message.level >= checks.ERROR
        kind, word = (BAD, "Error") if is_error else (WARNING, "Warning")
        if message.level < checks.WARNING:
            kind, word = QUIET, "Note"
        yield {"kind": kind, "word": word, "id": message.id, "text": message.msg, "hint": message.hint or ""}
