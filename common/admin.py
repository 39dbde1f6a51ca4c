"""What the admin pages of both siblings are made of: badges, times, figures, and the guard before a button's work.

Imported by the control plane only. Knows no app.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.forms import DateTimeInput
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

Row = TypeVar("Row", bound=Model)
Answer = TypeVar("Answer", bound=HttpResponseBase)

GOOD, WARNING, BAD, QUIET = "good", "warning", "bad", "quiet"
DASH = "—"
LOOKING = frozenset({"GET", "HEAD"})


def badge(kind: str, text: str, title: str = "") -> SafeString:
    """A small label. The text alone must say it all: the kind (GOOD, WARNING, BAD, QUIET) only adds a colour."""
    return format_html('<span class="badge badge-{}" title="{}">{}</span>', kind, title, text)


def moment(at: datetime | None, empty: str = DASH) -> SafeString | str:
    """A time, in UTC; a script of ours rewrites it in the viewer's zone and leaves UTC as the title."""
    if at is None:
        return empty
    utc = at.astimezone(UTC)
    return format_html(
        '<time datetime="{}">{} UTC</time>', utc.isoformat(timespec="milliseconds"), f"{utc:%Y-%m-%d %H:%M:%S}"
    )


def figure(number: float | None, unit: str = "") -> str:
    """A number with thousands separated, and its unit; a dash when it is not known."""
    if number is None:
        return DASH
    return f"{number:,.0f} {unit}".strip()


def duration(milliseconds: float | None, *, fine: bool = False) -> str:
    """A length of time, by the one rule of all pages: below a second in ms, below two minutes in s, else in minutes.

    `fine` keeps two decimals below 10 ms, for what the gateway itself does.
    """
    if milliseconds is None:
        return DASH
    if fine and 0 < milliseconds < 10:
        return f"{milliseconds:.2f} ms"
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 120_000:
        return f"{milliseconds / 1000:.2f} s"
    return f"{milliseconds / 60_000:.1f} min"


class UtcInput(DateTimeInput):
    """A time. A script of ours lets it be entered in the viewer's own zone; it is sent in UTC, as it is shown without.

    Its field's label ends with " (UTC)", which the script takes away.
    """

    def __init__(self) -> None:
        super().__init__(attrs={"type": "datetime-local", "data-utc": "true"}, format="%Y-%m-%dT%H:%M:%S")


class FiltersOnly:
    """Mixed into a ModelAdmin: its list can be narrowed by its own filters, and not by a guess at any column."""

    list_filter: ClassVar[Any] = ()

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Django allows every column of the model: a stored credential too, and patterns that no database takes."""
        names = (getattr(one, "parameter_name", one) for one in self.list_filter)
        return lookup.removesuffix("__exact") in names


def changeable(model_admin: ModelAdmin[Row], request: HttpRequest, object_id: int) -> Row:
    """The row that a button is about. Raises Http404, and PermissionDenied for who may not change it."""
    row = model_admin.get_object(request, str(object_id))
    if row is None:
        raise Http404
    if not model_admin.has_change_permission(request, row):
        raise PermissionDenied
    return row


def with_facts(
    model_admin: ModelAdmin[Row],
    request: HttpRequest,
    object_id: str,
    answer: Answer,
    facts: Callable[[Row, dict[str, Any]], dict[str, Any]],
) -> Answer:
    """The answer of a change view. Where it shows a row's form, which it does not after a saved change, the page is
    also given what `facts` tells of the row and of what the page was given before.

    The row is as it is stored. A form writes what was posted into the row that it was given, also where nothing is
    saved: then it is read again.
    """
    shown = (answer.context_data or {}) if isinstance(answer, TemplateResponse) else {}
    if "adminform" in shown and isinstance(answer, TemplateResponse):
        row = model_admin.get_object(request, object_id) if request.method == "POST" else shown["original"]
        answer.context_data = shown if row is None else {**shown, **facts(row, shown)}
    return answer


def pressed(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Decorates what a button on a row's page does. Who comes by its address alone, as after a log-in, is led to that
    page, and nothing is done. Raises Http404, and PermissionDenied for who may not see the row.
    """

    @wraps(view)
    def of_button(self: ModelAdmin[Any], request: HttpRequest, object_id: int, **kwargs: Any) -> HttpResponse:
        if request.method == "POST":
            return view(self, request, object_id, **kwargs)
        if request.method not in LOOKING:
            return HttpResponseNotAllowed(["POST"])
        row = self.get_object(request, str(object_id))
        if row is None:
            raise Http404
        if not self.has_view_or_change_permission(request, row):
            raise PermissionDenied
        return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", row.pk)

    return of_button


def posted_from(page: str) -> Callable[[Callable[..., Answer]], Callable[..., Answer | HttpResponse]]:
    """Decorates what a page posts to an address of no row's. Who comes by the address alone, as after a log-in, is led
    to the page (`admin:<page>`), which says itself who may see it, and nothing is done.
    """

    def decorate(view: Callable[..., Answer]) -> Callable[..., Answer | HttpResponse]:
        @wraps(view)
        def of_page(*args: Any, **kwargs: Any) -> Answer | HttpResponse:
            request = next(one for one in args if isinstance(one, HttpRequest))  # a method has `self` before it
            if request.method == "POST":
                return view(*args, **kwargs)
            return redirect(f"admin:{page}") if request.method in LOOKING else HttpResponseNotAllowed(["POST"])

        return of_page

    return decorate


def log_changes(request: HttpRequest, rows: Collection[Model], message: str) -> None:
    """Writes one entry into the history of each row, all in one statement: it is called with a lock held."""
    user_id = cast("int", request.user.pk)  # who has come as far as here is signed in
    LogEntry.objects.log_actions(user_id, rows, CHANGE, message)
