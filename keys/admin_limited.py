"""What the admin pages of keys, teams, owners and end users share: budgets, block and unblock, reset of the spend.

Writes go through the models, which bump the version, and into Django's history.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.admin.views.main import ChangeList
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from common.admin import FiltersOnly, changeable, log_changes, pressed, with_facts
from keys.admin_budgets import BAR, Row, Spend, SpendChangeList, budget_cell, spend_of
from keys.admin_confirm import Question, ask, is_confirmed
from keys.admin_left import Limited, groups_of, nobody_knows
from keys.admin_limits import WITHOUT_PRICE
from keys.admin_models import MONEY, KnownModel, counts_nothing, with_models
from keys.counters import Charge
from keys.limit_words import dollars, in_short
from keys.limits import InUse
from keys.models import KeysVersion
from keys.spending import set_spent

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Any]
else:
    _Admin = admin.ModelAdmin


NEWEST_ENTRIES = 8
MOST_REASONS = 5
FOR_EVERY_TEAM = "Who manages every team can do it."


class ExactFilter(admin.SimpleListFilter):
    """One value of a column, which a link names: it is shown when it is set, and offers no others."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        value = self.value()
        return [(value, value)] if value else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        return queryset.none() if "\0" in value else queryset.filter(**{str(self.parameter_name): value})


class LimitedAdmin(FiltersOnly, _Admin):
    """Rows that have limits, can be blocked, and spend."""

    noun: ClassVar[str]
    actions: Any = ("block", "unblock")
    row_actions: ClassVar[tuple[str, ...]] = ("block", "unblock")
    """The actions that a row's page has buttons for."""

    # --- The list ---------------------------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return SpendChangeList

    @admin.display(description="budget")
    def budget(self, row: Any) -> SafeString | str | None:
        return budget_cell(row.spend)

    @admin.display(description="limits")
    def limits(self, row: Any) -> str | None:
        return in_short(row) or None

    # --- Buttons ----------------------------------------------------------------------------------

    blocking: ClassVar[str]
    """What blocking one does to calls, in a sentence."""

    @admin.action(description="Block …", permissions=["change"])
    def block(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        if not is_confirmed(request):
            title = f"Block {self.told(queryset)}?"
            words = (self.blocking, "Limits, spend and request logs stay, and it can be unblocked at any time.")
            return ask(self, request, queryset, Question(action="block", title=title, words=words, button="Block"))
        self._set_blocked(request, queryset, blocked=True)
        return None

    @admin.action(description="Unblock", permissions=["change"])
    def unblock(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._set_blocked(request, queryset, blocked=False)

    def withheld(self, request: HttpRequest, row: Any) -> str:
        """Why this person may not let the row do more than now, in words; empty where they may."""
        return ""

    def granted(self, request: HttpRequest, rows: Iterable[Any], done: str) -> list[Any]:
        """Those of the rows that this person may let do more; messages say why each other one was not `done`."""
        reasons = [(row, self.withheld(request, row)) for row in rows]
        refused = [f"“{row}” was not {done}: {reason}. {FOR_EVERY_TEAM}" for row, reason in reasons if reason]
        more = len(refused) - MOST_REASONS
        for words in refused[:MOST_REASONS]:
            self.message_user(request, words, messages.ERROR)
        if more > 0:
            self.message_user(request, f"Nor {'was' if more == 1 else 'were'} {more} more.", messages.ERROR)
        return [row for row, reason in reasons if not reason]

    def told(self, rows: QuerySet[Any]) -> str:
        """The rows in a heading: the only one by its name, several by their number."""
        number = rows.count()
        return str(rows[0]) if number == 1 else counted(number, self.noun)

    def _set_blocked(self, request: HttpRequest, rows: QuerySet[Any], *, blocked: bool) -> None:
        word = "Blocked" if blocked else "Unblocked"
        with transaction.atomic():
            KeysVersion.bump()
            due = [row for row in rows if row.blocked != blocked]
            changed = due if blocked else self.granted(request, due, "unblocked")
            found = self._rows().filter(pk__in=[row.pk for row in changed])
            found.update(blocked=blocked, updated_at=timezone.now())
            log_changes(request, changed, f"{word}.")
        if changed or not due:
            level = messages.SUCCESS if changed else messages.WARNING
            self.message_user(request, f"{word} {counted(len(changed), self.noun)}.", level)

    @pressed
    def act_view(self, request: HttpRequest, object_id: int, *, action: str) -> HttpResponse:
        """The buttons on a row's page: what the action of this name does to one row."""
        row = changeable(self, request, object_id)
        response: HttpResponse | None = getattr(self, action)(request, self.get_queryset(request).filter(pk=row.pk))
        return redirect(self._name("change"), row.pk) if response is None else response

    @pressed
    def reset_spend_view(self, request: HttpRequest, object_id: int) -> HttpResponseRedirect:
        """Begins the budgets in money anew."""
        changeable(self, request, object_id)
        with transaction.atomic():
            KeysVersion.bump()  # whoever resets or changes it at the same time waits here
            row = changeable(self, request, object_id)
            if not self.granted(request, [row], "set to zero"):
                return redirect(self._name("change"), row.pk)
            spent = dollars(spend_of(row).units)
            set_spent(row, 0)
            log_changes(request, [row], f"Reset the spend, which was {spent}.")
        self.message_user(request, f"The spend of {row} starts at zero; it was {spent}.", messages.SUCCESS)
        return redirect(self._name("change"), row.pk)

    # --- Models ------------------------------------------------------------------------------------

    def known_models(self) -> Sequence[KnownModel]:
        """The models that there are. Which they are the gateway knows."""
        return ()

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002
        return with_models(super().get_form(request, obj, change, **kwargs), self.known_models())

    def warn_of_prices(self, request: HttpRequest, row: Any, known: Sequence[KnownModel]) -> None:
        """Says so when a budget in money can never be spent."""
        if counts_nothing(row, known):
            words = f"The {self.noun} “{row}” has a budget in US dollars. {WITHOUT_PRICE}"
            self.message_user(request, words, messages.WARNING)

    # --- Add, change and delete -------------------------------------------------------------------

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """As usual; but a writer holds the version's lock from the checks on, so that a name that is free stays so."""
        if request.method != "POST":
            return super().changeform_view(request, object_id, form_url, extra_context)
        with transaction.atomic():
            KeysVersion.bump()
            return super().changeform_view(request, object_id, form_url, extra_context)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        response = super().change_view(request, object_id, form_url, extra_context)

        def told(row: Any, shown: dict[str, Any]) -> dict[str, Any]:
            unpriced = counts_nothing(row, shown["adminform"].form.known_models)
            return {**self.facts(request, row), "warn_of_prices": unpriced, **(extra_context or {})}

        return with_facts(self, request, object_id, response, told)

    def facts(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """What a row's page shows beside its form."""
        spend = spend_of(cast("Row", row))
        groups = groups_of(list(self.limited(request, row, spend)), self.in_use)
        return {
            "title": str(row),
            "subtitle": None,
            "show_save_and_add_another": False,
            "spend": spend,
            "bar": BAR,
            "limit_groups": groups,
            "has_limits": any(group.lines for group in groups),
            "entries": history_of(row),
            "url_names": {verb: self._name(verb) for verb in (*self.row_actions, "reset_spend", "history")},
        }

    def limited(self, request: HttpRequest, row: Any, spend: Spend) -> Iterator[Limited]:
        """Whose limits hold: those of the row itself."""
        yield Limited("", str(row), "", row, spend)

    def in_use(self, charges: Sequence[Charge]) -> Sequence[InUse] | None:
        """How much of limits is in use, as `keys.admin_left.Look`. The gateway knows."""
        return nobody_knows(charges)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # noqa: FBT001
        if not change:
            obj.created_by = request.user.get_username()
            obj.save()
        # Only what was edited: a block or a last use that was written meanwhile must stay.
        elif form.changed_data:
            obj.save(update_fields=form.changed_data)
        if not change or {*MONEY, "models"}.intersection(form.changed_data):
            self.warn_of_prices(request, obj, form.known_models)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._rows().filter(pk__in=[row.pk for row in queryset]).delete()

    def _rows(self) -> QuerySet[Any]:
        rows: QuerySet[Any] = self.model._default_manager.all()
        return rows

    def _name(self, verb: str) -> str:
        return f"admin:{self.opts.app_label}_{self.opts.model_name}_{verb}"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        act, reset = view(self.act_view), view(self.reset_spend_view)
        return [
            *(
                path(f"<int:object_id>/{verb}/", act, {"action": verb}, name=f"{name}_{verb}")
                for verb in self.row_actions
            ),
            path("<int:object_id>/reset_spend/", reset, name=f"{name}_reset_spend"),
            *super().get_urls(),
        ]


def history_of(row: Any) -> list[LogEntry]:
    """The newest entries of the row's history."""
    entries = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(row), object_id=str(row.pk))
    return list(entries.select_related("user")[:NEWEST_ENTRIES])


def counted(number: int, noun: str) -> str:
    """The number with its noun."""
    return f"{number} {noun if number == 1 else noun + 's'}"


def address_of(request: HttpRequest, row: Any) -> str:
    """The address of the row's page; empty for who may not see it."""
    name = f"{row._meta.app_label}_{row._meta.model_name}"
    if not request.user.has_perm(f"{row._meta.app_label}.view_{row._meta.model_name}"):
        return ""
    return reverse(f"admin:{name}_change", args=[row.pk])
