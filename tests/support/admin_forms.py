"""The forms of the admin's pages without the pages around them, which take ten times as long."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.test import RequestFactory

from tests.support.admin_lists import SEES_ALL


def sent(fields: dict[str, Any], *, user: Any = SEES_ALL) -> HttpRequest:
    """A POST of these fields by this person."""
    request = RequestFactory().post("/", fields)
    request.user = user
    return request


def form_of(row: Model | type[Model], fields: dict[str, Any]) -> Any:
    """The form with which a page of the admin changes this row, or adds one to this table, these fields filled in."""
    table, instance = (type(row), row) if isinstance(row, Model) else (row, None)
    request = sent(fields)
    form = admin.site.get_model_admin(table).get_form(request, instance, change=instance is not None)
    return form(request.POST, request.FILES, instance=instance)
