"""The loop that keeps registries up to date, and the look that many share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from gateway import refresher as module
from gateway.refresher import Refresher
from tests.support.patience import PATIENCE, wait_for


class Store:
    """Counts its refreshes, fails when told to, and waits when told to."""

    def __init__(self) -> None:
        self.count = 0
        self.fails = False
        self.open = threading.Event()
        self.open.set()

    def refresh(self) -> None:
        self.open.wait(PATIENCE)
        self.count += 1
        if self.fails:
            raise OSError("away")


def _at_once(act: Callable[[], None]) -> None:
    act()


@pytest.fixture
def store() -> Store:
    return Store()


@contextmanager
def looping(store: Store) -> Iterator[Refresher]:
    refresher = Refresher(store.refresh, run=_at_once)
    thread = threading.Thread(target=refresher.loop)
    thread.start()
    try:
        yield refresher
    finally:
        store.open.set()
        refresher.stop()
        thread.join(PATIENCE)
    assert not thread.is_alive()


@pytest.fixture
def running(store: Store) -> Iterator[Refresher]:
    with looping(store) as refresher:
        yield refresher


def test_it_is_ready_after_the_first_success(store: Store) -> None:
    refresher = Refresher(store.refresh, run=_at_once)
    store.fails = True
    refresher.once()
    assert not refresher.ready
    store.fails = False
    refresher.once()
    assert refresher.ready


def test_a_failure_is_kept_until_the_next_success(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    refresher = Refresher(store.refresh, run=_at_once)
    store.fails = True
    refresher.once()
    refresher.once()
    assert isinstance(refresher.error, OSError)
    store.fails = False
    refresher.once()
    assert refresher.error is None
    assert [record.message.split("(")[0] for record in caplog.records] == [
        "The database does not answer ",
        "The database answers again.",
    ]


def test_what_follows_is_done_after_each_refresh(store: Store) -> None:
    seen: list[int] = []
    refresher = Refresher(store.refresh, run=_at_once, then=lambda: seen.append(store.count))
    refresher.once()
    store.fails = True
    refresher.once()
    assert seen == [1, 2]


def test_it_refreshes_again_and_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INTERVAL_SECONDS", 0.05)
    with looping(store):
        wait_for(lambda: store.count >= 2)


def test_a_look_waits_for_a_refresh_that_began_after_it(store: Store, running: Refresher) -> None:
    wait_for(lambda: store.count >= 1)
    before = store.count
    assert running.look()
    assert store.count > before


def test_a_look_tells_of_a_failure(store: Store, running: Refresher) -> None:
    store.fails = True
    assert not running.look()


def test_looks_at_the_same_time_share_one_refresh(store: Store, running: Refresher) -> None:
    wait_for(lambda: store.count >= 1)
    store.open.clear()
    threads = [threading.Thread(target=running.look) for _ in range(10)]
    for thread in threads:
        thread.start()
    before = store.count
    store.open.set()
    for thread in threads:
        thread.join()
    assert store.count - before <= 3  # the one that was going on, theirs, and perhaps the loop's own


def test_a_look_does_not_wait_for_ever(store: Store, running: Refresher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.1)
    wait_for(lambda: store.count >= 1)
    store.open.clear()
    assert not running.look()
