"""Something that needs attention, and the way to its remedy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.urls import reverse

from people import roles

LOOK = "Look at it"
MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Notice:
    """One line. `kind` is good, warning, bad or quiet; `url` is the page on which it is mended.

    `needs` is the permission that the remedy takes, and `views` that to see the page at all; "" where the notice itself
    is only for who has it.
    """

    kind: str
    word: str
    text: str
    url: str = ""
    link: str = ""
    needs: str = ""
    views: str = ""

    def for_user(self, user: Any) -> Notice:
        """The remedy only for who may do it; others read who can, and may look where they may."""
        if not self.needs or user.has_perm(self.needs):
            return self
        may_look = self.url and (not self.views or user.has_perm(self.views))
        text = f"{self.text} Who can {self.link[:1].lower()}{self.link[1:]}: {who_has(self.needs)}."
        return replace(self, text=text, url=self.url if may_look else "", link=LOOK if may_look else "")


def who_has(permission: str) -> str:
    """The built-in roles with a permission, in words: `an Owner, an Operator or a Key manager`."""
    names = [f"{'an' if role[0] in 'AEIO' else 'a'} {role}" for role in roles.ROLES if roles.has(role, permission)]
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def several(names: list[str], of: int | None = None) -> str:
    """`a, b, c and 4 more`; `of` how many, where not all names are given."""
    count, shown = len(names) if of is None else of, names[:MOST_NAMED]
    return ", ".join(shown) + (f" and {count - len(shown):,} more" if count > len(shown) else "")


def admin_url(model: str, pk: int | None = None) -> str:
    """The list of a model (`keys_team`), or the page of one of its rows."""
    return reverse(f"admin:{model}_changelist") if pk is None else reverse(f"admin:{model}_change", args=[pk])
