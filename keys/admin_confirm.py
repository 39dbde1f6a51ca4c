"""Asks before what hurts: a page that names the rows and says what will happen to them. Knows no table.

An action answers with this page until its form comes back with `post`, as Django's own deletion does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse

NAMED_ROWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked: the action that is meant, what it does, and what the button that does it says."""

    action: str
    title: str
    words: tuple[str, ...]
    button: str
    is_dangerous: bool = True
    form: forms.Form | None = None


def is_confirmed(request: HttpRequest) -> bool:
    """Whether the page has been answered."""
    return request.method == "POST" and bool(request.POST.get("post"))


def ask(
    model_admin: admin.ModelAdmin[Any], request: HttpRequest, rows: QuerySet[Any], question: Question
) -> TemplateResponse:
    """The page. Its form goes to the address that it came from, with the same rows and the same action."""
    number, named = rows.count(), list(rows[:NAMED_ROWS])
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "media": model_admin.media,
        "title": question.title,
        "subtitle": None,
        "question": question,
        "rows": named,
        "more_rows": max(0, number - len(named)),
        "back": _back(request),
        # One is enough where all that a search found is meant: the address has the search.
        "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
        "select_across": request.POST.get("select_across", ""),
        "plural": model_admin.opts.verbose_name_plural,
    }
    return TemplateResponse(request, "admin/keys/confirm.html", context)


def _back(request: HttpRequest) -> str:
    match = request.resolver_match
    return "../change/" if match is not None and "object_id" in match.kwargs else request.get_full_path()
