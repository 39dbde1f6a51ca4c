"""The log's filter by virtual key: a list, as long as all keys are in it; of more, a name or an id to type."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms

from gateway.admin_pages.key_named import name_of
from gateway.admin_pages.log_choices import Choices, with_chosen
from gateway.admin_pages.log_ranges import NO_KEY
from gateway.admin_pages.playground_keys import usual
from keys.admin_fields import SuggestInput
from keys.models import VirtualKey
from keys.scope import scoped_keys

MOST_CHOICES = 500
_NO_KEY = (NO_KEY, "Master key or anonymous")


class KeyFilter:
    """As one person sees it; `asked` is what the address says, the id of a key or what was typed."""

    def __init__(self, asked: str, user: Any, *, sees_all: bool) -> None:
        self._asked = asked
        self._user = user
        self._none = [_NO_KEY] if sees_all else []
        self._keys = scoped_keys(usual(VirtualKey.objects.all()), user).values_list("pk", "name")

    def widget(self) -> forms.Widget:
        """The list of all keys; or a field for one of them, which suggests the newest."""
        listed = list(self._keys.order_by("name")[: MOST_CHOICES + 1])
        if len(listed) <= MOST_CHOICES:
            return forms.Select(choices=self._choices(listed))
        newest = [(name or str(pk), f"key {pk}") for pk, name in self._keys.order_by("-pk")[:MOST_CHOICES]]
        return SuggestInput(lambda: [*self._none, *newest], {"placeholder": "Name or id"})

    def typed(self) -> str:
        """What a field shows of the key that is asked for: its name where a link has its id, which tells nobody whose
        it is."""
        name = self._found(pk=int(self._asked), name__isnull=False) if _is_id(self._asked) else None
        return self._asked if name is None or name[1].isdecimal() else name[1]

    def id_of(self, text: str) -> str:
        """The id, where a name was typed. Raises ValidationError when there is none of this name."""
        text = text.strip()
        if not text or text == NO_KEY or _is_id(text):
            return text
        found = self._found(name=text)
        if found is None:
            raise forms.ValidationError("There is no key of this name: type all of it, or its id.")
        return str(found[0])

    def _found(self, **which: Any) -> tuple[int, str] | None:
        """Id and name of a key that the person may see."""
        return scoped_keys(VirtualKey.objects.filter(**which), self._user).values_list("pk", "name").first()

    def _choices(self, keys: Iterable[tuple[int, str | None]]) -> Choices:
        choices = [("", "Any key"), *self._none, *((str(pk), name or f"key {pk}") for pk, name in keys)]
        if self._asked and self._asked not in dict(choices) and (name := name_of(self._asked, self._user)):
            choices.append((self._asked, name))
        return with_chosen(choices, self._asked, "key")


def _is_id(text: str) -> bool:
    return text.isdecimal() and len(text) < 19
