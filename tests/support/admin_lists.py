"""Lists of the admin as their views make them, without address, session and templates: for tests of what is in them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.db.models import Model
from django.test import RequestFactory

SEES_ALL = get_user_model()(is_superuser=True, is_active=True)


def listed(table: type[Model], query: Any = None, *, user: Any = SEES_ALL) -> ChangeList:
    """What the list of the table's rows shows to the person. `query`: as a dictionary, or as `?before=…`."""
    factory = RequestFactory()
    request = factory.get(query) if isinstance(query, str) else factory.get("/", query)
    request.user = user
    return admin.site.get_model_admin(table).get_changelist_instance(request)
