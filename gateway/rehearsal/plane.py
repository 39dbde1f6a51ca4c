"""What the relay's steps ask of their process, where the call is only rehearsed: the database instead of copies of it
in memory, and counters that take nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from typing_extensions import override

from gateway.account import relay_report
from gateway.account.relay_report import RelayReport
from gateway.account.unlisted import Unlisted
from gateway.capture.captures import Captures
from gateway.open_call import OpenCall, OpenCalls
from gateway.places import Places
from gateway.plane import RelayPlane
from gateway.rehearsal.looking import LookingCounters
from gateway.serving.local_files import private_directory
from gateway.time_limits import TimeLimits
from keys import limit_values
from keys.counters import Counters
from keys.identity import Party
from keys.models import EndUser, Group, Owner, SpendWindow, Team
from keys.parties import party_of
from upstreams.pool import UpstreamPool

_COLUMNS = ("models", "metadata", "blocked", "spend_epoch", "alias", *limit_values.COLUMNS)
_TABLES: dict[str, tuple[type[Group], str]] = {
    "team": (Team, "team_id"),
    "user": (Owner, "user_id"),
    "end_user": (EndUser, "end_user_id"),
}


class DatabaseParties:
    """Teams, owners and end users, each looked up when it is asked for: `keys.parties.Parties`, without the memory."""

    def find(self, kind: str, ident: str) -> Party | None:
        """As Parties.find; one query."""
        table, column = _TABLES[kind]
        row = table._default_manager.filter(**{column: ident}).values(*_COLUMNS).first()
        return party_of(kind, ident, row) if row is not None else None


class DatabaseLedger:
    """What was spent, looked up when it is asked for: `keys.spend.SpendLedger`, without the memory."""

    def of(self, counter: str) -> int:
        """As SpendLedger.of; one query."""
        is_open = Q(ends_at=None) | Q(ends_at__gt=timezone.now())
        used = SpendWindow.objects.filter(is_open, counter=counter).values_list("used", flat=True).first()
        return used or 0


def cooldowns_of(reports: Sequence[RelayReport]) -> dict[int, float]:
    """The upstreams that every relay worker passes over, and for how many seconds the first of them will still do."""
    told = [report.counted("cooling") for report in reports]
    common = set(told[0]).intersection(*told) if told else set()
    return {int(ident): min(one[ident] for one in told) for ident in common if ident.isdecimal()}


class RehearsalPlane(RelayPlane):
    """A plane for one rehearsal. It has no journal, no client and no background work, so nothing can leave it.

    `reports` are those of the relay workers that take calls.
    """

    def __init__(self, counters: Counters | None = None) -> None:
        self.keys = cast("Any", SimpleNamespace(parties=DatabaseParties()))
        self.ledger = cast("Any", DatabaseLedger())
        self.pool = UpstreamPool()
        self.pool.refresh()
        self.pool.observe()
        self.reports = [report for report in relay_report.current() if not report.facts.get("draining")]
        self.pool.adopt_cooldowns(cooldowns_of(self.reports))
        self.looking = LookingCounters(counters)
        self.place_counters = LookingCounters(counters)
        self.places = Places(cast("Counters", self.place_counters))
        self.counters = cast("Counters", self.looking)
        self.open_calls = OpenCalls()
        self.limits = TimeLimits(
            settings.BODY_TIMEOUT, settings.FIRST_BYTE_TIMEOUT, settings.IDLE_TIMEOUT, settings.TOTAL_TIMEOUT
        )
        self.spool = private_directory(settings.DATA_DIR / "spool")
        self.captures = Captures(lambda act: act())  # it never reads any
        self.fingerprints = {}
        self.upstream_health = Counter()
        self.unlisted = Unlisted()

    @override
    def check_serving(self) -> None:
        """Whether a relay takes calls is not for this process to know."""

    @override
    def look(self) -> None:
        """Everything is looked up in the database anyway."""

    @override
    def admitted(self, call: OpenCall) -> None:
        """Nobody writes it down."""

    @override
    def ended(self, call: OpenCall) -> None:
        """Likewise."""
        self.open_calls.discard(call)
