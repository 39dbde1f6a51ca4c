"""The admin pages of the request log: read-only, paged by key, never counted, and only the calls one may see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseBase,
    HttpResponseRedirect,
)
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_GET

from common.admin import posted_from
from gateway.admin_pages import log_columns
from gateway.admin_pages.log_details import details_of
from gateway.admin_pages.log_export import FORMS, exported
from gateway.admin_pages.log_filters import AFTER, BEFORE, LogFilterForm, filled
from gateway.admin_pages.log_search import known_facets, known_values, page_of
from gateway.admin_pages.unlisted import unlisted
from gateway.models import TAG, RequestLog, RequestLogQuerySet
from keys.scope import scoped, visible_teams
from keys.shared_use import without_amounts

if TYPE_CHECKING:
    _LogAdmin = admin.ModelAdmin[RequestLog]
else:
    _LogAdmin = admin.ModelAdmin

MOST_SUGGESTED = 200


class LogChangeList(ChangeList):
    """One page of the log. Django's lookups, counts and page numbers play no part."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> Any:
        self.filter_form = LogFilterForm(request.GET, user=request.user)
        self.filter_specs: list[Any] = []
        self.has_filters = False
        self.has_active_filters = bool(self.filter_form.chosen)
        self.clear_all_filters_qs = "?"
        return self.root_queryset

    def get_results(self, request: HttpRequest) -> None:
        form = self.filter_form
        before, after = (_call_id(request.GET.get(name)) for name in (BEFORE, AFTER))
        page = page_of(form.branches(_listed()), self.list_per_page, before=before, after=after)
        self.result_list = page.rows
        self.result_count = len(page.rows)
        self.newer_url = self._link(request, {AFTER: page.rows[0]}) if page.rows and page.has_newer else ""
        self.older_url = self._link(request, {BEFORE: page.rows[-1]}) if page.rows and page.has_older else ""
        self.newest_url = self._link(request, {}) if before or after else ""
        self.chips = form.chips(request.GET)
        self.found = form.found
        self.kept_days = settings.LOG_RETENTION_DAYS
        # Names out of other teams' calls are for who may see those.
        self.models = known_values("model", MOST_SUGGESTED) if form.sees_all else []
        self.tags = known_facets(TAG, MOST_SUGGESTED) if form.sees_all else []
        shown = log_columns.chosen_by(request)
        self.columns = [(column.name, column.words, column.name in shown) for column in log_columns.COLUMNS.values()]
        self.query = self._link(request, {})
        self.unlisted = unlisted(request.user)
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.full_result_count = None
        self.show_admin_actions = False
        self.paginator = None

    @staticmethod
    def _link(request: HttpRequest, place: dict[str, RequestLog]) -> str:
        query = filled(request.GET, BEFORE, AFTER)
        query.update({name: row.pk.hex for name, row in place.items()})
        return f"?{query.urlencode()}"


class RequestLogAdmin(_LogAdmin):
    """Every call: the list, and what happened in one of them."""

    list_display = tuple(log_columns.COLUMNS[name].cell for name in log_columns.USUAL)
    list_display_links = (log_columns.COLUMNS[log_columns.FIXED].cell,)
    list_per_page = 50
    sortable_by = ()
    show_full_result_count = False
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> Any:
        return scoped(RequestLog.objects.all(), request.user)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> RequestLog | None:
        call = super().get_object(request, object_id, from_field)
        if call is not None and call.error_text and visible_teams(request.user) is not None:
            call.error_text = without_amounts(call.error_text)
        return call

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return LogChangeList

    def get_list_display(self, request: HttpRequest) -> Any:
        return [log_columns.COLUMNS[name].cell for name in log_columns.chosen_by(request)]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Request logs", **(extra_context or {})})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        call = self.get_object(request, object_id)
        context = details_of(request, call) if call is not None else {}
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    # --- Beside the list

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("export.<str:form>", wrap(require_GET(self.export_view)), name="gateway_requestlog_export"),
            path("columns/", wrap(self.columns_view), name="gateway_requestlog_columns"),
        ]
        return [*own, *super().get_urls()]

    def export_view(self, request: HttpRequest, form: str) -> HttpResponseBase:
        """The rows that the list would show on all its pages, as a file; 400 where a filter cannot be understood, as
        nobody who asked for some calls wants to be sent all of them."""
        self._check(request)
        if form not in FORMS:
            raise Http404
        chosen = LogFilterForm(request.GET, user=request.user)
        if not chosen.is_valid():
            return HttpResponseBadRequest(chosen.faults, content_type="text/plain; charset=utf-8")
        return exported(chosen.branches(RequestLog.objects.all()), form, sees_all=chosen.sees_all)

    @posted_from("gateway_requestlog_changelist")
    def columns_view(self, request: HttpRequest) -> HttpResponseBase:
        """Keeps the chosen columns, and goes back to the list as it was."""
        self._check(request)
        query = request.POST.get("query", "")
        address = reverse("admin:gateway_requestlog_changelist") + (query if query.startswith("?") else "")
        response = HttpResponseRedirect(address)
        names = [] if "usual" in request.POST else request.POST.getlist("column")
        log_columns.keep_choice(request, response, names)
        return response

    def _check(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied


def _listed() -> RequestLogQuerySet:
    return RequestLog.objects.defer("decisions")


def _call_id(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None
