"""The page of the settings in force: what the doctor finds, and every setting with where it comes from."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from common.admin import BAD, GOOD, QUIET, WARNING
from gateway import settings
from gateway.doctor import Finding, examine, in_short
from gateway.settings_in_force import Line, settings_in_force

PERMISSION = "gateway.view_settings_in_force"

DOCTOR_WORDS = {GOOD: "Good", QUIET: "Trial", WARNING: "Warning", BAD: "Bad"}
_WEIGHT = {BAD: 0, WARNING: 1, QUIET: 2}


@dataclass(frozen=True, slots=True)
class Shown:
    """The settings below one heading, each with whether the filter lets it through."""

    heading: str
    lines: list[tuple[Line, bool]]

    @property
    def found(self) -> int:
        """How many the filter lets through."""
        return sum(is_found for _, is_found in self.lines)

    @property
    def changed(self) -> int:
        """How many somebody has set."""
        return sum(line.is_changed for line, _ in self.lines)


def settings_view(request: HttpRequest) -> HttpResponse:
    """The page. What the doctor finds is looked up now, which takes seconds while an upstream is silent."""
    words, only_changed = request.GET.get("q", "").strip()[:100], request.GET.get("changed") == "1"
    groups = _groups(words, only_changed=only_changed)
    findings = examine()
    troubles = sorted((one for one in findings if one.kind != GOOD), key=lambda one: _WEIGHT[one.kind])
    context = {
        **admin.site.each_context(request),
        "title": "Settings in force",
        "groups": groups,
        "found": sum(group.found for group in groups),
        "total": sum(len(group.lines) for group in groups),
        "words": words,
        "only_changed": only_changed,
        "is_filtered": bool(words) or only_changed,
        "in_short": in_short(findings),
        "troubles": _with_words(troubles),
        "good": _with_words([one for one in findings if one.kind == GOOD]),
    }
    return TemplateResponse(request, "admin/settings/index.html", context)


def _groups(words: str, *, only_changed: bool) -> list[Shown]:
    return [
        Shown(heading, [(line, line.has(words) and (line.is_changed or not only_changed)) for line in lines])
        for heading, lines in settings_in_force(settings.env.readings.values()).items()
    ]


def _with_words(findings: list[Finding]) -> list[tuple[Finding, str]]:
    return [(finding, DOCTOR_WORDS[finding.kind]) for finding in findings]
