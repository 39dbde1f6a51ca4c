"""Which permissions the admin's pages ask for, in words, and their boxes in a form.

Django makes four for each table, and most tables have no page. Those that no page asks for are not offered; whoever
holds one keeps it, since a form that does not show it must not take it away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import Permission
from django.db.models import QuerySet
from django.forms import CheckboxSelectMultiple
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst

if TYPE_CHECKING:
    from django.forms import ModelForm

    _Form = ModelForm[Any]
else:
    _Form = object

_VERBS = {"view": "see", "add": "add", "change": "change", "delete": "delete"}


def _all_of(table: str, **words: str) -> dict[str, str]:
    """The four of a table that has pages, in the order of what they allow."""
    app, _, model = table.partition(".")
    return {f"{app}.{verb}_{model}": words.get(verb, word) for verb, word in _VERBS.items()}


OFFERED: Mapping[str, Mapping[str, str]] = {
    "Virtual keys": {
        **_all_of("keys.virtualkey", add="issue", change="change, rotate, extend, block and kill"),
        "people.view_every_team": "those of every team, with their calls and usage; else of teams that they manage",
    },
    "Teams": _all_of("keys.team"),
    "Owners": _all_of("keys.owner"),
    "End users": _all_of("keys.enduser"),
    "Upstreams": {
        **_all_of("upstreams.upstream"),
        "upstreams.control_upstream": "control vLLM there (sleep, LoRA adapters, caches)",
    },
    "An upstream's models": _all_of("upstreams.deployment"),
    "Models": _all_of("upstreams.modelalias"),
    "Routing": {"upstreams.view_routing": "see", "upstreams.change_routing": "change"},
    "Calls": {"gateway.view_requestlog": "see, in the request log and as figures and charts on other pages"},
    "Usage": {"gateway.view_usagehour": "see, as chart, table, CSV and monthly statement"},
    "Trying calls": {
        "gateway.use_policy_check": "ask whether a call would be allowed",
        "gateway.use_playground": "call models from the playground",
    },
    "Payload captures": _all_of("gateway.payloadcapture", add="begin"),
    "What was captured": {"gateway.view_capturedpayload": "read", "gateway.delete_capturedpayload": "delete"},
    "Settings in force": {"gateway.view_settings_in_force": "see, with the system checks and the doctor's results"},
    "People": _all_of("auth.user"),
    "Managers of teams": _all_of("people.teammanager", delete="remove"),
    "Roles": _all_of("auth.group"),
}
"""Headings, and below each the permissions (`keys.view_team`) with what they allow."""

_PLACES = {name: place for place, name in enumerate(name for words in OFFERED.values() for name in words)}


def name_of(permission: Permission) -> str:
    """`keys.view_team`."""
    return f"{permission.content_type.app_label}.{permission.codename}"


def offered(permissions: QuerySet[Permission]) -> dict[str, Permission]:
    """Those of them that a page asks for, by their names."""
    rows = permissions.select_related("content_type")
    return {name_of(row): row for row in rows if name_of(row) in _PLACES}


def grouped(names: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """The names under their headings, in the order of OFFERED; a heading without a name is left out."""
    wanted = set(names)
    for heading, words in OFFERED.items():
        found = [name for name in words if name in wanted]
        if found:
            yield heading, found


def in_words(permissions: QuerySet[Permission]) -> SafeString | str:
    """What they allow, a line for each heading; "none" where no page asks for any of them."""
    lines = (
        (heading, "; ".join(OFFERED[heading][name] for name in names))
        for heading, names in grouped(offered(permissions))
    )
    return format_html_join("", "<div><b>{}</b>: {}</div>", lines) or "none"


class PermissionBoxes(CheckboxSelectMultiple):
    """A box for each, under headings."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        context = self.get_context(name, value, attrs)["widget"]
        parts = ((heading, format_html_join("", _BOX, map(_box, boxes))) for heading, boxes, _ in context["optgroups"])
        groups = format_html_join("", "<fieldset><legend>{}</legend>{}</fieldset>", parts)
        return format_html('<div class="permission-boxes" id="{}">{}</div>', context["attrs"].get("id", ""), groups)


_BOX = '<label for="{}"><input type="checkbox" name="{}" value="{}" id="{}"{}> {}</label>'


def _box(box: dict[str, Any]) -> tuple[Any, ...]:
    ident = box["attrs"]["id"]
    return ident, box["name"], box["value"], ident, SafeString(" checked") if box["selected"] else "", box["label"]


def offer(field: Any, person: Any) -> None:
    """Has the field of a form offer what pages ask for, as far as the person has it themselves."""
    mine = {name: row for name, row in offered(field.queryset).items() if person.has_perm(name)}
    field.queryset = field.queryset.filter(pk__in=[row.pk for row in mine.values()])
    field.choices = [
        (heading, [(mine[name].pk, capfirst(OFFERED[heading][name])) for name in names])
        for heading, names in grouped(mine)
    ]


class KeepsTheRest(_Form):
    """A form with a field of permissions, mixed in: what is held and not offered there is still held when it is saved.

    `permissions_field` is that field's name, and the attribute's of whoever holds them.
    """

    permissions_field = "permissions"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._rest: list[Permission] = []
        field: Any = self.fields.get(self.permissions_field)
        if field is None or self.instance.pk is None:
            return
        shown = set(field.queryset.values_list("pk", flat=True))
        held = list(getattr(self.instance, self.permissions_field).all())
        self._rest = [row for row in held if row.pk not in shown]
        self.initial[self.permissions_field] = [row for row in held if row.pk in shown]
        if self._rest:
            number = f"{len(self._rest)} more {'is' if len(self._rest) == 1 else 'are'}"
            field.help_text = f"{number} held, and kept: no page asks for what is not shown here."

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self._rest and self.permissions_field in cleaned:
            cleaned[self.permissions_field] = [*cleaned[self.permissions_field], *self._rest]
        return cleaned
