"""What a form shows to who may only look: in the form's own words and units, not as the column keeps it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms, template
from django.contrib.admin.helpers import AdminReadonlyField
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Field
from django.utils.safestring import SafeString

from common.admin import moment

register = template.Library()


@register.simple_tag
def in_words(shown: AdminReadonlyField) -> SafeString | str:
    """The value of a field that cannot be changed. Its label and help become the form's, where the form has the field.

    What is no column, or is kept as it is written, Django writes.
    """
    name = str(shown.field["name"])
    try:
        column = shown.form._meta.model._meta.get_field(name)
    except FieldDoesNotExist:
        return shown.contents()
    asked = _form_field(shown, name)
    if asked is not None:
        shown.field["label"] = str(asked.label or shown.field["label"])
        shown.field["help_text"] = str(asked.help_text)
    value = getattr(shown.form.instance, name, None)
    if not isinstance(column, Field) or column.is_relation:
        return shown.contents()
    if isinstance(value, datetime):  # shown in the viewer's zone
        shown.field["label"] = str(shown.field["label"]).removesuffix(" (UTC)")
    told = _told(value, asked)
    return shown.contents() if told is None else told or shown.empty_value_display


def _form_field(shown: AdminReadonlyField, name: str) -> forms.Field | None:
    """Of the form that who may change the row gets; the one at hand leaves out what cannot be changed."""
    known: dict[str, forms.Field] = getattr(getattr(shown.model_admin, "form", None), "base_fields", {})
    return shown.form.fields.get(name) or known.get(name)


def _told(value: Any, asked: forms.Field | None) -> SafeString | str | None:
    """None where there is nothing to say in other words."""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, Decimal):
        prepared = value if asked is None else asked.prepare_value(value)
        return f"{prepared.normalize():f}" if isinstance(prepared, Decimal) else str(prepared)
    if isinstance(value, list):
        return ", ".join(map(_part, value))
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_part(one)}" for key, one in value.items())
    if isinstance(value, str) and isinstance(asked, forms.ChoiceField):
        offered: Iterable[tuple[Any, Any]] = asked.widget.choices
        return {str(key): str(word) for key, word in offered if not isinstance(word, list | tuple)}.get(value)
    return None


def _part(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
