"""A key that a person names in a form: by its name or its id, and never by its secret."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q

from keys.models import VirtualKey
from keys.scope import scoped

NO_SECRET = "This looks like a secret. Choose the key by its name or its id; a secret belongs into no form."  # noqa: S105
NO_KEY = "There is no key with this name or id that you may see."


def looks_like_secret(text: str) -> bool:
    """Whether somebody has pasted a secret."""
    return text.strip().lower().startswith(("sk-", "bearer "))


def key_named(text: str, user: Any) -> VirtualKey:
    """The key. Raises ValidationError, which never repeats the text."""
    text = text.strip()
    if looks_like_secret(text):
        raise ValidationError(NO_SECRET)
    is_id = text.isdecimal() and len(text) < 19
    mine = scoped(VirtualKey.objects.all(), user)
    found: VirtualKey | None = mine.filter(Q(name=text) | (Q(pk=int(text)) if is_id else Q(pk=None))).first()
    if found is None:
        raise ValidationError(NO_KEY)
    return found
