"""Where no call can go although somebody may want one to: as far as an admin has decided it, not how servers are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings
from django.urls import reverse

from common.admin import BAD, WARNING
from gateway.admin_pages.home.notices import Notice, admin_url, several
from gateway.models import UsageHourTotal
from upstreams.model_list import every_model
from upstreams.models import ACTIVE, Upstream

WORD, CHANGE = "Routing", "upstreams.change_upstream"


def routing(upstreams: Sequence[Upstream], user: Any) -> Iterator[Notice]:
    """What is wrong with where these, which are all, let calls go. Reads more only while one of them takes no calls."""
    if not upstreams:
        yield from _none(user)
        return
    if not any(upstream.is_default for upstream in upstreams):
        text = "No upstream is the default: calls whose model is nobody's alias are refused."
        yield Notice(WARNING, WORD, text, admin_url("upstreams_upstream"), "Choose one", needs=CHANGE)
    away = [upstream for upstream in upstreams if upstream.state != ACTIVE]
    if len(away) == len(upstreams):
        yield _all_away(away)
    elif away:
        yield from _default_away(away)
        yield from _models_away()


def _none(user: Any) -> Iterator[Notice]:
    if not UsageHourTotal.objects.exists():  # before the first call, the first steps say so
        return
    text = f"No upstream: calls go to {settings.UPSTREAM_BASE_FALLBACK}."
    if user.has_perm("upstreams.add_upstream"):
        yield Notice(WARNING, WORD, text, reverse("admin:upstreams_upstream_add"), "Add one")
    else:
        url = admin_url("upstreams_upstream")
        yield Notice(WARNING, WORD, text, url, "Add one", needs="upstreams.add_upstream")


def _all_away(upstreams: Sequence[Upstream]) -> Notice:
    told = several([f"{upstream} is {upstream.state}" for upstream in upstreams])
    text = f"No upstream takes calls: {told}. Every call is refused with status 503."
    return Notice(BAD, WORD, text, _url(upstreams), "Let one take calls", needs=CHANGE)


def _default_away(away: Sequence[Upstream]) -> Iterator[Notice]:
    for upstream in away:
        if upstream.is_default:
            told = f"The default upstream, {upstream}, is {upstream.state}"
            text = f"{told}: calls whose model is nobody's alias are refused."
            yield Notice(WARNING, WORD, text, _url([upstream]), "Let it take calls", needs=CHANGE)


def _models_away() -> Iterator[Notice]:
    """Models that every upstream with them has been taken away from: the default is not asked for those."""
    names: list[str] = []
    upstreams: dict[int, Upstream] = {}
    for model in every_model():
        if model.places and all(place.upstream.state != ACTIVE for place in model.places):
            names.append(model.name)
            upstreams.update({place.upstream.pk: place.upstream for place in model.places})
    if not names:
        return
    told = several([f"{upstream} is {upstream.state}" for upstream in upstreams.values()])
    text = f"No upstream takes calls for {several(names)}: {told}. Such calls are refused with status 503."
    yield Notice(WARNING, WORD, text, _url(list(upstreams.values())), "Let one take calls", needs=CHANGE)


def _url(upstreams: Sequence[Upstream]) -> str:
    return admin_url("upstreams_upstream", upstreams[0].pk if len(upstreams) == 1 else None)
