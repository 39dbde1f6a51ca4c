"""A key that a person names in a form: by its name or its id, and never by its secret."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q

from gateway.models import RequestLog
from keys.models import VirtualKey
from keys.scope import scoped, scoped_keys

NO_SECRET = "This looks like a secret. Choose the key by its name or its id; a secret belongs into no form."  # noqa: S105
MOST_LISTED = 200
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
    mine = scoped_keys(VirtualKey.objects.all(), user)
    found: VirtualKey | None = mine.filter(Q(name=text) | (Q(pk=int(text)) if is_id else Q(pk=None))).first()
    if found is None:
        raise ValidationError(NO_KEY)
    return found


def known_keys(user: Any) -> list[str]:
    """What may be suggested to who names a key: the names of the newest, or ids where there is none."""
    rows = scoped_keys(VirtualKey.objects.all(), user).order_by("-pk").values_list("pk", "name")[:MOST_LISTED]
    return [name or str(pk) for pk, name in rows]


def name_of(ident: str, user: Any) -> str:
    """What the key with this id is called, as far as a person may know it; one that is gone by the name under which it
    called last. Empty where that is not known."""
    if not ident.isdecimal() or len(ident) >= 19:
        return ""
    key = VirtualKey.objects.filter(pk=int(ident))
    if key.exists():
        return str(scoped_keys(key, user).values_list("name", flat=True).first() or "")
    calls = scoped(RequestLog.objects.filter(key_id=int(ident)), user).order_by("-pk")
    return str(calls.values_list("key_name", flat=True).first() or "")
