"""What is asked before upstreams are deleted: what goes with them, and what calls lose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin
from django.db.models import Count, Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from common.admin import figure
from upstreams.model_list import every_model
from upstreams.models import Deployment, HealthChange, LoadSample, Upstream

if TYPE_CHECKING:
    _Base = admin.ModelAdmin[Upstream]
else:
    _Base = object

MOST_NAMES = 10
NONE_LEFT = "No upstream is left then: all calls go to {}."


class Deleting(_Base):
    """Mixed into the ModelAdmin of upstreams."""

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list[Any], dict[str, int], Any, list[Any]]:
        """What the confirmation says. A day has thousands of samples of load: they are counted, and never read."""
        upstreams: list[Upstream] = list(objs)
        ids = [upstream.pk for upstream in upstreams]
        deployments = _aliases(ids)
        samples, changes = _counts(LoadSample, ids), _counts(HealthChange, ids)
        lost = _lost(ids)
        is_last = not Upstream.objects.exclude(pk__in=ids).exists()
        listed: list[Any] = [_loud(NONE_LEFT.format(settings.UPSTREAM_BASE_FALLBACK))] if is_last else []
        for upstream in upstreams:
            pk = upstream.pk
            told = [
                *([] if is_last else _warnings(upstream, lost.get(pk, []))),
                *_deployments(deployments.get(pk, [])),
                *_history(samples.get(pk, 0), changes.get(pk, 0)),
            ]
            url = reverse("admin:upstreams_upstream_change", args=[pk])
            listed += [format_html('Upstream: <a href="{}">{}</a>', url, upstream), *([told] if told else [])]
        counts = {"upstreams": len(upstreams), "deployments": sum(map(len, deployments.values()))}
        lacking = {"upstream"} if not all(self.has_delete_permission(request, one) for one in upstreams) else set()
        return listed, counts, lacking, []


def _aliases(ids: list[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    rows = Deployment.objects.filter(upstream_id__in=ids).order_by("alias")
    for pk, alias in rows.values_list("upstream_id", "alias"):
        found.setdefault(pk, []).append(alias)
    return found


def _counts(model: type[Model], ids: Iterable[int]) -> dict[int, int]:
    rows = model._default_manager.filter(upstream_id__in=ids).order_by().values("upstream_id")
    return dict(rows.annotate(rows=Count("pk")).values_list("upstream_id", "rows"))


def _lost(ids: list[int]) -> dict[int, list[str]]:
    """The models of each of these upstreams that none of the others has."""
    found: dict[int, list[str]] = {}
    for model in every_model():
        places = {place.upstream.pk for place in model.places}
        if places and places.issubset(ids):
            for pk in places:
                found.setdefault(pk, []).append(model.name)
    return found


def _warnings(upstream: Upstream, lost: list[str]) -> Iterator[SafeString]:
    if upstream.is_default:
        yield _loud("It is the default: until another is chosen, calls whose model is nobody's alias are refused.")
    if lost:
        yield _loud(f"No other upstream has {_names(lost)}: such calls are refused, or left to the default upstream.")


def _loud(text: str) -> SafeString:
    return format_html("<strong>{}</strong>", text)


def _deployments(aliases: list[str]) -> Iterator[str]:
    if aliases:
        yield f"{len(aliases)} deployment{'s' if len(aliases) > 1 else ''}: {_names(aliases)}"


def _history(samples: int, changes: int) -> Iterator[str]:
    told = [
        f"{figure(count)} {word}{'s' if count > 1 else ''} of its {what}"
        for count, word, what in ((samples, "sample", "load"), (changes, "change", "health"))
        if count
    ]
    if told:
        yield " and ".join(told)


def _names(names: list[str]) -> str:
    shown = ", ".join(names[:MOST_NAMES])
    return shown if len(names) <= MOST_NAMES else f"{shown} and {len(names) - MOST_NAMES:,} more"
