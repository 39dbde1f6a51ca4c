"""What needs attention, the worst first, each with the way to its remedy, and only to who may see it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from common.admin import BAD, QUIET, WARNING, figure
from gateway.account import relay_report
from gateway.account.journal import JournalStatus, journal_status
from gateway.admin_pages.home import budgets
from gateway.admin_pages.home.kept import Kept
from gateway.admin_pages.home.notices import Notice, admin_url, several
from gateway.admin_pages.home.routing import routing
from gateway.admin_pages.playground_keys import usual
from gateway.admin_pages.unlisted import unlisted
from gateway.admin_pages.unlisted import url as unlisted_url
from gateway.loose_settings import loose_settings
from keys.models import VirtualKey
from keys.scope import scoped_keys, visible_teams
from upstreams import posture
from upstreams.admin_control import PERMISSION as CONTROL
from upstreams.model_list import every_model
from upstreams.models import ACTIVE, UNHEALTHY, Upstream

BACKLOG_SECONDS = 60.0
SOON = timedelta(days=7)
KEPT_SECONDS = 20.0
MOST_NAMES = 50
MOST_DOWN = 2
MANY_UNKNOWN, MANY_NOT_TAKEN = 100, 20
"""Calls in an hour without rows; fewer are told beside the figures only."""
_WEIGHT = {BAD: 0, WARNING: 1, QUIET: 2}
_of_budgets: Kept[list[Notice]] = Kept(KEPT_SECONDS)
forget = _of_budgets.forget


def attention(user: Any) -> list[Notice]:
    """All notices for this person. Those of budgets are up to twenty seconds old."""
    may = user.has_perm
    found: list[Notice] = []
    if may("gateway.view_requestlog") and visible_teams(user) is None:
        found += [*_of_relays(), *_of_journal(), *_of_unlisted(user)]
    if may("upstreams.view_upstream"):
        found += _of_upstreams(list(Upstream.objects.all()), user)
    if may("keys.view_virtualkey"):
        found += _of_expiry(user)
    found += _of_budgets.of((user.pk, visible_teams(user)), lambda: list(islice(_budgets(user), MOST_NAMES)))
    if may("gateway.view_settings_in_force"):
        found += _of_settings()
    return [notice.for_user(user) for notice in sorted(found, key=lambda notice: _WEIGHT.get(notice.kind, 3))]


# --- The gateway itself


def _of_relays() -> Iterator[Notice]:
    if not relay_report.current():
        text = "No relay says that it is there: no call is answered, or it cannot reach the database."
        yield _of_gateway(BAD, "Relay", text)


def _of_journal() -> Iterator[Notice]:
    try:
        status = journal_status(settings.DATA_DIR / "journal")
    except OSError as error:
        yield _of_gateway(BAD, "Journal", f"The journal of calls cannot be read: {error.strerror}.")
        return
    yield from journal_notices(status, now=time.time())


def journal_notices(status: JournalStatus, *, now: float) -> Iterator[Notice]:
    """What is wrong with the journal. `now` in Unix seconds."""
    if status.lost:
        text = f"{figure(status.lost)} calls could not be written to the journal: is the data directory's disk full?"
        yield _of_gateway(BAD, "Calls lost", text)
    if status.quarantined:
        text = f"{figure(status.quarantined)} lines could not become rows of the request log: see quarantine.jsonl."
        yield _of_gateway(BAD, "Quarantine", text)
    if status.oldest is not None and now - status.oldest > BACKLOG_SECONDS:
        size = figure(status.backlog_bytes / 1000, "kB")
        text = f"{size} of calls wait to be written to the database, the oldest for {_age(now - status.oldest)}."
        yield _of_gateway(WARNING, "Backlog", text)


def _of_gateway(kind: str, word: str, text: str) -> Notice:
    """What is mended outside the admin, as the doctor says."""
    url, needs = f"{reverse('admin:settings')}#doctor", "gateway.view_settings_in_force"
    return Notice(kind, word, text, url, "Ask the doctor", needs=needs, views=needs)


def _age(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"


def _of_unlisted(user: Any) -> Iterator[Notice]:
    """Many calls of the last hour that no list of calls shows, since it was never known whose they were."""
    found = unlisted(user)
    if found is None:
        return
    of_gateway = found.in_hour - found.of_key
    if found.of_key >= MANY_UNKNOWN:
        text = (
            f"{figure(found.of_key)} calls of the last hour came without a valid key. A program still "
            "uses a key that was deleted or mistyped, is blocked or has expired, or somebody tries keys out: see from "
            "where, and hand out a valid key or keep the address out."
        )
        yield Notice(WARNING, "Unknown keys", text, unlisted_url(), "See who calls")
    if of_gateway >= MANY_NOT_TAKEN:
        text = (
            f"{figure(of_gateway)} calls of the last hour were refused before their key was looked at: the gateway was "
            "starting or stopping, the database was away, or their path was not acceptable."
        )
        yield Notice(WARNING, "Not taken", text, unlisted_url(), "See why")


def _of_settings() -> Iterator[Notice]:
    """What the doctor says of the settings: one line of a kind, since the page of settings has them one by one."""
    found = loose_settings()
    for kind, word in ((BAD, "Settings"), (WARNING, "Settings"), (QUIET, "For a trial")):
        of_kind = [finding for finding in found if finding.kind == kind]
        if of_kind:
            more = f" And {len(of_kind) - 1} more." if len(of_kind) > 1 else ""
            text = f"{of_kind[0].text} {of_kind[0].remedy}{more}"
            yield Notice(kind, word, text, reverse("admin:settings"), "See the settings")


# --- Upstreams


def _of_upstreams(upstreams: list[Upstream], user: Any) -> Iterator[Notice]:
    yield from routing(upstreams, user)
    active = [upstream for upstream in upstreams if upstream.state == ACTIVE]
    down = [upstream for upstream in active if upstream.health == UNHEALTHY]
    if len(down) > MOST_DOWN:
        text = f"{len(down)} of {len(active)} upstreams: {several([upstream.name for upstream in down])}."
        yield Notice(BAD, "Unhealthy", text, admin_url("upstreams_upstream"), "Look at them")
    else:
        for upstream in down:
            text = f"{upstream}: {upstream.health_text}"
            yield Notice(BAD, "Unhealthy", text, admin_url("upstreams_upstream", upstream.pk), "Look at it")
    for upstream in active:
        if upstream.posture.get("asleep"):
            text = f"{upstream} sleeps: calls that go there wait until it is woken up."
            url = admin_url("upstreams_upstream", upstream.pk)
            yield Notice(WARNING, "Asleep", text, url, "Wake it up", needs=CONTROL)
    yield from _of_weak([(upstream, aspects) for upstream in active if (aspects := _weak_aspects(upstream))])


def _weak_aspects(upstream: Upstream) -> list[str]:
    """What strangers could do there. Plain HTTP is told on its page only: inside a machine room it is usual."""
    found = posture.findings(upstream.url, upstream.vllm_version, posture.Posture.stored(upstream.posture))
    return [finding.short for finding in found if finding.kind == posture.BAD and finding.name != "Transport"]


def _of_weak(weak: list[tuple[Upstream, list[str]]]) -> Iterator[Notice]:
    told = [f"{upstream} {' and '.join(aspects)}" for upstream, aspects in weak]
    if len(weak) > MOST_DOWN:
        text = f"{len(weak)} upstreams are not safe: {several(told)}."
        yield Notice(WARNING, "Weak upstreams", text, admin_url("upstreams_upstream"), "Look at them")
    else:
        for (upstream, _), text in zip(weak, told, strict=True):
            url = admin_url("upstreams_upstream", upstream.pk)
            yield Notice(WARNING, "Weak upstream", f"{text}.", url, "See the remedies")


# --- Keys


def _of_expiry(user: Any) -> Iterator[Notice]:
    now = timezone.now()
    expiring = VirtualKey.objects.filter(blocked=False, expires_at__gt=now, expires_at__lte=now + SOON)
    keys = scoped_keys(usual(expiring), user)
    soon = list(keys.order_by("expires_at")[: MOST_NAMES + 1])
    if not soon:
        return
    first = soon[0]
    if len(soon) == 1:
        url = admin_url("keys_virtualkey", first.pk)
        text = f"{first} expires {_in(first.expires_at, now)}."
        yield Notice(WARNING, "Expires", text, url, "Extend it", needs="keys.change_virtualkey")
        return
    count = f"{len(soon)}" if len(soon) <= MOST_NAMES else f"More than {MOST_NAMES}"
    text = f"{count} keys expire within 7 days, {first} {_in(first.expires_at, now)}: {several(list(map(str, soon)))}."
    yield Notice(WARNING, "Expire", text, f"{admin_url('keys_virtualkey')}?state=soon", "See them")


def _in(moment: datetime | None, now: datetime) -> str:
    hours = (moment - now).total_seconds() / 3600 if moment else 0.0
    if hours < 1:
        return "within the hour"
    return f"in {hours:.0f} hours" if hours < 48 else f"in {hours / 24:.0f} days"


def _budgets(user: Any) -> Iterator[Notice]:
    yield from budgets.spent(user)
    yield from budgets.unpriced(user, every_model())
