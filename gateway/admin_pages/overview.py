"""What the first page says: what needs attention and how to mend it, and a few figures. Each only to who may see it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db.models import Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from common.admin import BAD, WARNING, badge, figure
from gateway.account.journal import JournalStatus, journal_status
from gateway.admin_pages.usage import last_day
from keys.models import VirtualKey
from upstreams.admin import HEALTH_BADGES
from upstreams.models import ACTIVE, HEALTHY, UNHEALTHY, Upstream

BACKLOG_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that needs attention, and the page on which it is mended."""

    kind: str
    word: str
    text: str
    url: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure, what it counts, and a line that says more."""

    name: str
    figure: str
    more: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """All of the first page."""

    notices: list[Notice] = field(default_factory=list)
    tiles: list[Tile] = field(default_factory=list)
    upstreams: list[dict[str, Any]] = field(default_factory=list)


def overview(request: HttpRequest) -> Overview:
    """What this user may see of it."""
    may = request.user.has_perm
    found = Overview()
    if may("upstreams.view_upstream"):
        upstreams = list(Upstream.objects.all())
        found.notices.extend(_of_upstreams(upstreams, may_add=may("upstreams.add_upstream")))
        found.upstreams.extend(_upstream_lines(upstreams))
        healthy = sum(upstream.health == HEALTHY for upstream in upstreams)
        url = reverse("admin:upstreams_upstream_changelist")
        found.tiles.append(Tile("Upstreams", figure(len(upstreams)), f"{healthy} healthy", url))
    if may("keys.view_virtualkey"):
        found.notices.extend(_of_keys(may_add=may("keys.add_virtualkey")))
        found.tiles.insert(0, _keys_tile())
    if may("gateway.view_requestlog"):
        found.notices.extend(_of_journal())
        found.tiles.extend(_usage_tiles())
    return found


def _of_upstreams(upstreams: list[Upstream], *, may_add: bool) -> Iterator[Notice]:
    add = (reverse("admin:upstreams_upstream_add"), "Add an upstream") if may_add else ("", "")
    if not upstreams:
        text = f"No upstream yet: calls go to {settings.UPSTREAM_BASE_FALLBACK}. Add the address of your vLLM server."
        yield Notice(WARNING, "First step", text, *add)
    elif not any(upstream.is_default for upstream in upstreams):
        url = reverse("admin:upstreams_upstream_changelist")
        text = "No upstream is the default: calls whose model is nobody's alias are refused."
        yield Notice(WARNING, "Routing", text, url, "Choose one")
    for upstream in upstreams:
        if upstream.health == UNHEALTHY and upstream.state == ACTIVE:
            url = reverse("admin:upstreams_upstream_change", args=[upstream.pk])
            yield Notice(BAD, "Unhealthy", f"{upstream}: {upstream.health_text}", url, "Look at it")


def _upstream_lines(upstreams: list[Upstream]) -> Iterator[dict[str, Any]]:
    for upstream in upstreams:
        url = reverse("admin:upstreams_upstream_change", args=[upstream.pk])
        yield {"row": upstream, "url": url, "health": badge(*HEALTH_BADGES[upstream.health])}


def _of_keys(*, may_add: bool) -> Iterator[Notice]:
    if may_add and not VirtualKey.objects.exists():
        text = "No virtual key yet: issue one and hand it to whoever is to call."
        yield Notice(WARNING, "First step", text, reverse("admin:keys_virtualkey_add"), "Issue a key")


def _keys_tile() -> Tile:
    keys = VirtualKey.objects
    blocked = keys.filter(blocked=True).count()
    expired = keys.filter(blocked=False, expires_at__lte=timezone.now()).count()
    active = keys.count() - blocked - expired
    url = reverse("admin:keys_virtualkey_changelist")
    return Tile("Active keys", figure(active), f"{blocked} blocked, {expired} expired", url)


def _usage_tiles() -> Iterator[Tile]:
    names = ("calls", "errors", "prompt_tokens", "completion_tokens")
    sums = last_day().aggregate(**{f"sum_{name}": Sum(name) for name in names})
    calls, errors, prompt, completion = (sums[f"sum_{name}"] or 0 for name in names)
    url = reverse("admin:gateway_requestlog_changelist")
    share = f"{errors / calls:.1%} were errors" if calls else "no call yet"
    yield Tile("Calls, 24 h", figure(calls), share, url)
    yield Tile("Tokens, 24 h", figure(prompt + completion), f"{figure(prompt)} in, {figure(completion)} out", url)


def _of_journal() -> Iterator[Notice]:
    try:
        status = journal_status(settings.DATA_DIR / "journal")
    except OSError as error:
        yield Notice(BAD, "Journal", f"The journal of calls cannot be read: {error.strerror}.")
        return
    yield from journal_notices(status, now=time.time())


def journal_notices(status: JournalStatus, *, now: float) -> Iterator[Notice]:
    """What is wrong with the journal. `now` in Unix seconds."""
    if status.lost:
        text = f"{figure(status.lost)} calls could not be written to the journal: is the data directory's disk full?"
        yield Notice(BAD, "Calls lost", text)
    if status.quarantined:
        text = f"{figure(status.quarantined)} lines could not become rows of the request log: see quarantine.jsonl."
        yield Notice(BAD, "Quarantine", text)
    if status.oldest is not None and now - status.oldest > BACKLOG_SECONDS:
        size = figure(status.backlog_bytes / 1000, "kB")
        text = f"{size} of calls wait to be written to the database, the oldest for {_age(now - status.oldest)}."
        yield Notice(WARNING, "Backlog", text)


def _age(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"
