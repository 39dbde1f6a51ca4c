"""What became of keys that were killed: worker by worker, until all of them have applied it and nothing runs any more.

The address of the page holds all that it needs to know: which keys, the version that blocks them, when, and the workers
that were there then. So it can be reloaded, kept and sent to somebody else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.http import urlencode

from common.admin import BAD, GOOD, QUIET, WARNING
from gateway.account.entry import Outcome
from gateway.account.relay_report import RelayReport, added, current
from gateway.admin_pages.traffic import logs_url_with
from gateway.models import RequestLog
from keys.admin_limited import counted
from keys.admin_revoking import MOST_KILLED, RevokingAdmin
from keys.models import VirtualKey

PATIENCE = timedelta(seconds=3)
"""How long a worker may take without being called slow: it looks once a second."""
LONGEST_CALL = timedelta(days=1)
LARGEST = 2**63 - 1
APPLIED, WAITING, SILENT = "applied", "waiting", "silent"


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker's answer. `running` are the keys' calls that it still has open."""

    name: str
    state: str
    running: int = 0
    at: datetime | None = None

    @property
    def badge(self) -> tuple[str, str]:
        """Its colour and its word."""
        return {
            APPLIED: (GOOD, "Has applied it"),
            WAITING: (QUIET, "Has not applied it yet"),
            SILENT: (BAD, "Does not answer"),
        }[self.state]


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known of all of them. `cut` counts calls."""

    workers: tuple[Worker, ...]
    cut: int
    is_late: bool

    def of_state(self, state: str) -> list[Worker]:
        """The workers in this state."""
        return [worker for worker in self.workers if worker.state == state]

    @property
    def running(self) -> int:
        """Calls with the keys that are still open."""
        return sum(worker.running for worker in self.workers)

    @property
    def is_done(self) -> bool:
        """Whether all workers have answered, and nothing runs."""
        return bool(self.workers) and len(self.of_state(APPLIED)) == len(self.workers) and not self.running

    @property
    def sentence(self) -> str:
        """How it stands."""
        number = len(self.workers)
        if not number:
            return "No relay worker has reported within the last five seconds: is the relay running?"
        if self.is_done:
            who = "The relay worker has" if number == 1 else f"All {number} relay workers have"
            return f"{who} applied it, and {_cut(self.cut)}. Nothing runs with it any more."
        applied = len(self.of_state(APPLIED))
        running = f"; {counted(self.running, 'call')} still open" if self.running else ""
        have = "has" if 1 in (applied, number) else "have"
        return f"{applied} of {counted(number, 'relay worker')} {have} applied it{running}."

    @property
    def trouble(self) -> str:
        """What to know of a worker that does not answer."""
        silent, slow = self.of_state(SILENT), self.of_state(WAITING)
        if silent:
            names = ", ".join(worker.name for worker in silent)
            return (
                f"{names} has not reported for more than five seconds. If its process has ended, nothing runs there. "
                "If it lives and cannot reach the database, it may still accept the key: end it, or keep its callers "
                "from it."
            )
        if slow and self.is_late:
            names = ", ".join(worker.name for worker in slow)
            return f"{names} reports, and has not applied the block for longer than it should take: see its log."
        return ""

    @property
    def kind(self) -> str:
        """The colour of it all."""
        if self.is_done:
            return GOOD
        return BAD if self.trouble or not self.workers else WARNING


def _cut(number: int) -> str:
    if not number:
        return "no call was running"
    return f"{counted(number, 'running call')} {'was' if number == 1 else 'were'} cut"


@dataclass(frozen=True, slots=True)
class Killing:
    """What a page is about."""

    key_ids: tuple[int, ...]
    version: int
    at: datetime
    workers: tuple[str, ...]

    @classmethod
    def asked(cls, request: HttpRequest) -> Killing:
        """As the address has it; what makes no sense there is left out."""
        ids = [_number(one) for one in request.GET.get("ids", "").split(",")[:MOST_KILLED]]
        seconds = min(_number(request.GET.get("at", "")), 2**33)
        workers = [name[:300] for name in request.GET.getlist("worker")[:1000]]
        return cls(
            tuple(filter(None, ids)),
            _number(request.GET.get("version", "")),
            datetime.fromtimestamp(seconds, UTC),
            tuple(workers),
        )

    @property
    def query(self) -> str:
        """The address' part after the question mark."""
        ids, at = ",".join(map(str, self.key_ids)), str(int(self.at.timestamp()))
        workers = [("worker", name) for name in self.workers]
        return urlencode([("ids", ids), ("version", str(self.version)), ("at", at), *workers])


def _number(text: str) -> int:
    return min(int(text), LARGEST) if text.isascii() and text.isdecimal() and len(text) < 20 else 0


def progress(
    killing: Killing, reports: Sequence[RelayReport], silent: Collection[int], logged: int, now: datetime
) -> Progress:
    """How far it is, out of all reports that there are; `silent` are the ids of those that are too old.

    Calls that were cut are told by the workers at once, and by the log for good.
    """
    said = {str(report): report for report in reports}
    names = [
        *killing.workers,
        *(name for name, one in said.items() if name not in killing.workers and one.pk not in silent),
    ]
    workers = tuple(_worker(name, said.get(name), silent, killing) for name in names)
    told = _of_keys([report for report in reports if report.pk not in silent], "cut_by_key", killing.key_ids)
    return Progress(workers, max(told, logged), now - killing.at > PATIENCE)


def _worker(name: str, report: RelayReport | None, silent: Collection[int], killing: Killing) -> Worker:
    if report is None:
        return Worker(name, SILENT)
    running = _of_keys([report], "open_by_key", killing.key_ids)
    if report.pk in silent:
        return Worker(name, SILENT, running, report.at)
    return Worker(name, APPLIED if report.keys_version >= killing.version else WAITING, running, report.at)


def _of_keys(reports: list[RelayReport], name: str, key_ids: Iterable[int]) -> int:
    counts = added(reports, name)
    return sum(counts.get(str(key_id), 0) for key_id in key_ids)


class KillingAdmin(RevokingAdmin):
    """Kills keys, and shows what the relay says of it."""

    def open_calls(self, keys: Collection[VirtualKey]) -> str:
        number = _of_keys(current(), "open_by_key", [key.pk for key in keys])
        return counted(number, "call") if number else ""

    def watch(self, request: HttpRequest, keys: Collection[VirtualKey], version: int) -> HttpResponse:
        workers = tuple(str(report) for report in current())
        killing = Killing(tuple(key.pk for key in keys), version, timezone.now(), workers)
        return redirect(f"{reverse('admin:keys_virtualkey_killed')}?{killing.query}")

    def killed_view(self, request: HttpRequest) -> HttpResponse:
        """The page."""
        killing, keys, found = self._found(request)
        title = f"Kill {keys[0]}" if len(keys) == 1 else f"Kill {counted(len(keys), 'key')}"
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "title": title,
            "keys": keys,
            "progress": found,
            "live_url": f"{reverse('admin:keys_virtualkey_killing')}?{killing.query}",
            "logs_url": logs_url_with(request, key=str(keys[0].pk)) if len(keys) == 1 else "",
        }
        return TemplateResponse(request, "admin/keys/virtualkey/killed.html", context)

    def killing_view(self, request: HttpRequest) -> HttpResponse:
        """The part of it that is live."""
        _, keys, found = self._found(request)
        return TemplateResponse(request, "admin/keys/virtualkey/killing.html", {"progress": found, "keys": keys})

    def _found(self, request: HttpRequest) -> tuple[Killing, list[VirtualKey], Progress]:
        if not self.has_view_permission(request):
            raise PermissionDenied
        asked = Killing.asked(request)
        keys = list(self.get_queryset(request).filter(pk__in=asked.key_ids))
        killing = Killing(tuple(key.pk for key in keys), asked.version, asked.at, asked.workers)
        reports = list(RelayReport.objects.order_by("node", "worker"))
        answering = {report.pk for report in RelayReport.objects.current()}
        silent = {report.pk for report in reports} - answering
        return killing, keys, progress(killing, reports, silent, _logged(killing), timezone.now())

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("killed/", view(self.killed_view), name="keys_virtualkey_killed"),
            path("killed/now/", view(self.killing_view), name="keys_virtualkey_killing"),
            *super().get_urls(),
        ]


def _logged(killing: Killing) -> int:
    """How many calls of the keys the log has as revoked since then; none of a longer call is missed."""
    rows = RequestLog.objects.filter(
        key_id__in=killing.key_ids, outcome=Outcome.REVOKED.value, ended_at__gte=killing.at
    )
    return rows.between(killing.at - LONGEST_CALL).count()
