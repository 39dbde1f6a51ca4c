"""What one relay process has besides its calls: registries, counters, journal, and what runs beside the calls."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import gevent
from django.conf import settings
from django.core.cache import close_caches
from django.core.handlers.base import reset_urlconf
from django.core.signals import request_finished, request_started
from django.db import OperationalError, close_old_connections, connections, reset_queries
from gevent.threadpool import ThreadPool

from gateway.account.entry import Outcome, clean
from gateway.account.journal import Journal
from gateway.account.recent import RecentTraffic
from gateway.account.unlisted import Unlisted
from gateway.capture.captures import FLUSH_SECONDS as CAPTURE_SECONDS
from gateway.capture.captures import Captures
from gateway.charging import corrected_by, cost_of, settled, settled_for
from gateway.cuts import CallCut
from gateway.errors import NotServing
from gateway.open_call import OpenCall, OpenCalls
from gateway.places import Places
from gateway.refresher import Refresher
from gateway.reporter import INTERVAL_SECONDS as REPORT_SECONDS
from gateway.reporter import Reporter
from gateway.responses.native import NativeRoutes
from gateway.responses.store import ResponseStore
from gateway.revocation import Revocation
from gateway.serving.control_address import base_url
from gateway.serving.local_files import private_directory
from gateway.sweeper import INTERVAL_SECONDS, Sweeper
from gateway.time_limits import TimeLimits
from gateway.turns import let_others_go
from keys.counters import Counters, make_counters
from keys.registry import KeyRegistry
from keys.registry import registry as key_registry
from keys.spend import SpendLedger
from upstreams.client import UpstreamClient
from upstreams.pool import UpstreamPool
from upstreams.pool import pool as upstream_pool

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 0.1
JOURNAL_SECONDS = 1.0
HEALTH_SECONDS = 2.0
CLOSE_IDLE_SECONDS = 2.0
DRAIN_MARGIN_SECONDS = 2.0
CONTROL_READ_SECONDS = 300.0


class RelayPlane:
    """The relay process. One per process: `gateway.this_relay.plane`."""

    def __init__(self, keys: KeyRegistry = key_registry, pool: UpstreamPool = upstream_pool) -> None:
        self.keys = keys
        self.pool = pool
        self.open_calls = OpenCalls()
        self.client = UpstreamClient(connect_timeout=settings.CONNECT_TIMEOUT)
        # A key may be made only once: nothing is sent again, also when the control plane ended in the middle.
        self.control = UpstreamClient(connect_timeout=5, read_timeout=CONTROL_READ_SECONDS, resend=False)
        self.counters: Counters = make_counters()
        self.ledger = SpendLedger()
        self.places = Places(self.counters)
        self.limits = TimeLimits(
            settings.BODY_TIMEOUT, settings.FIRST_BYTE_TIMEOUT, settings.IDLE_TIMEOUT, settings.TOTAL_TIMEOUT
        )
        self.journal = Journal(private_directory(settings.DATA_DIR / "journal"))
        self.spool = private_directory(settings.DATA_DIR / "spool")
        self.control_url = base_url(settings)
        self.run_in_store = _runner()
        self.responses = ResponseStore(self.run_in_store, settings.RESPONSE_STATE_BYTES)
        self.native_routes = NativeRoutes()
        self.captures = Captures(self.run_in_store)
        self.revocation = Revocation(self.keys, self.open_calls)
        # In threads of their own, refresher and reporter: what calls write may wait 20 s for SQLite's one writer, and a
        # blocked key is to be refused within a second.
        self.refresher = Refresher(self.refresh, run=_runner(), then=self.revocation.cut)
        self.recent = RecentTraffic()
        self.unlisted = Unlisted()
        self.reporter = Reporter(
            self.open_calls, self.revocation, self.recent, self.unlisted, run=_runner(), more=self._of_worker
        )
        self.fingerprints: dict[int | None, str] = {}  # by upstream: vLLM's system_fingerprint
        self.upstream_health: Mapping[str, int] = {}  # how many upstreams are healthy, unhealthy, unknown
        self._health_due = 0.0
        self.draining = False
        self._flushing = False
        self._worker: Any = None
        self._greenlets: list[Any] = []

    # --- Life of the process

    def start(self, worker: Any) -> None:
        """Starts what runs beside the calls; `worker` is gunicorn's."""
        self._worker = worker
        _lighten()
        self.journal.open()
        self._greenlets = [
            gevent.spawn(self.refresher.loop),
            gevent.spawn(self._every, INTERVAL_SECONDS, partial(self._sweep, Sweeper(self.limits))),
            gevent.spawn(self._every, settings.LEASE_SECONDS / 3, self._renew_leases),
            gevent.spawn(self._every, FLUSH_SECONDS, self.counters.flush),
            gevent.spawn(self._every, CLOSE_IDLE_SECONDS, self.close_idle),
            gevent.spawn(self._every, CAPTURE_SECONDS, self.captures.flush),
            gevent.spawn(self._every, JOURNAL_SECONDS, self._catch_up),
            gevent.spawn(self._every, REPORT_SECONDS, self.reporter.report),
        ]

    def stop(self) -> None:
        """At the end of the process."""
        self.refresher.stop()
        self.counters.flush()  # or else what the last calls held would stay taken for the life of a lease
        self.captures.flush()
        self.reporter.last_report()
        gevent.killall(self._greenlets, block=False)
        self.journal.close()

    @staticmethod
    def _every(seconds: float, act: Callable[[], None]) -> None:
        while True:
            gevent.sleep(seconds)
            try:
                act()
            except Exception:
                logger.exception("A background step of the relay failed; it is tried again.")

    def _sweep(self, sweeper: Sweeper) -> None:
        if not self.draining and not self._worker.alive:
            self.draining = True
            self._worker.hang_up_waiting()
            grace = max(0.0, settings.GRACE_SECONDS - DRAIN_MARGIN_SECONDS)
            self._greenlets.append(gevent.spawn_later(grace, self._end_last_calls))
        if self.draining:
            self._worker.hang_up_waiting()
        sweeper.sweep(self.open_calls)

    def _end_last_calls(self) -> None:
        for call in self.open_calls:
            call.cut(CallCut(Outcome.DRAINED, NotServing("The gateway is stopping.")))

    def _renew_leases(self) -> None:
        held = [lease for call in self.open_calls for lease in (call.call_id, *self.places.renewable(call))]
        self.counters.renew(held)
        self.ledger.forget_ended(time.time())

    def close_idle(self) -> None:
        """Closes the connections that a burst left behind, to upstreams and to the control plane."""
        self.client.close_idle()
        self.control.close_idle()

    def _of_worker(self) -> dict[str, Any]:
        return {
            "draining": self.draining,
            "waiting": self.places.waiting,
            "queue_full": self.places.is_full,
            "cooling": {str(upstream_id): round(wait, 1) for upstream_id, wait in self.pool.cooling().items()},
        }

    # --- What is known of keys and upstreams

    def refresh(self) -> None:
        """Brings the registries up to date. It may run in another thread, so it cuts no call itself."""
        self.revocation.refresh()
        self.ledger.refresh()
        self.pool.refresh()
        self.captures.refresh()
        self._refresh_health()

    def _refresh_health(self) -> None:
        """What the probes saw: read here, so that no call, and no stranger who asks `/readyz`, causes a query."""
        now = time.monotonic()
        if now >= self._health_due:
            self.upstream_health, self._health_due = self.pool.observe(), now + HEALTH_SECONDS

    def look(self) -> None:
        """One look at the database for a key that is not known here, shared by all who wait.

        Raises django.db.Error when the database is away.
        """
        if self._worker is None:  # no background loop: tests, commands
            self.refresh()
        elif not self.refresher.look():
            raise OperationalError("The registries could not be refreshed.")

    def check_serving(self) -> None:
        """Raises NotServing while the registries are empty or the process is about to end."""
        if self.draining or (self._worker is not None and not self.refresher.ready):
            raise NotServing

    @property
    def ready(self) -> bool:
        """Whether calls are taken."""
        return not self.draining and (self._worker is None or self.refresher.ready)

    # --- The account of calls

    def admitted(self, call: OpenCall) -> None:
        """The call has passed every check and goes upstream: from now on it ends in a row, whatever happens."""
        self.journal.admitted(clean(call.admission()))

    def ended(self, call: OpenCall) -> None:
        """The call has ended: its charges are settled, and its entry goes to the journal."""
        self.open_calls.discard(call)
        used = call.used()
        call.cost = cost_of(call.prices, used)
        booked, call.spend = settled(call.bill, used, call.cost)
        if call.taken_back:
            corrected = settled_for(call.taken_back, used, call.cost)
            call.spend = corrected_by(corrected, call.spend)
            booked = [*booked, *corrected]
        self.journal.ended(clean(call.entry()))
        self.recent.add(call)
        if call.bill.charges or booked:
            self.counters.settle(call.call_id, booked)
            if not settings.EMBEDDED:
                self._flush_soon()

    def _catch_up(self) -> None:
        while self.journal.catch_up():
            let_others_go()  # streams come before thousands of lines that have waited for the disk

    def _flush_soon(self) -> None:
        """A round trip that no client waits for, shared by the calls that end meanwhile."""
        if not self._flushing:
            self._flushing = True
            gevent.spawn(self._flush)

    def _flush(self) -> None:
        try:
            self.counters.flush()
        finally:
            self._flushing = False


def _lighten() -> None:
    """Takes from each call what the relay does not need: Django's care for connections that no call holds and for
    URLs of a request's own, and the garbage collector's walks over all that was imported."""
    request_started.disconnect(reset_queries)
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    request_finished.disconnect(close_caches)
    request_finished.disconnect(reset_urlconf)
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _runner() -> Callable[[Callable[[], None]], None]:
    """Where the registries' queries run: SQLite's locks would stop gevent's loop, so they wait in a native thread."""
    if not settings.EMBEDDED or settings.PLANE != "relay":

        def run(act: Callable[[], None]) -> None:
            try:
                act()
            finally:
                connections.close_all()

        return run
    pool = ThreadPool(1)

    def run_in_thread(act: Callable[[], None]) -> None:
        error = pool.apply(_error_of, (act,))
        if error is not None:
            raise error

    return run_in_thread


def _error_of(act: Callable[[], None]) -> Exception | None:
    """What `act` raises. gevent prints what leaves a thread, though whoever waits for it gets it too; and what is
    printed is not a line of the log."""
    try:
        act()
    except Exception as error:  # noqa: BLE001 - raised again where it is waited for
        return error
    return None
