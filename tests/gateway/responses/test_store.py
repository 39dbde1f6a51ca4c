"""Who made which response, in memory and in the database, and how much of it is kept."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import OperationalError
from pytest_django import DjangoAssertNumQueries, Settings

from gateway.account.retention import Pruner
from gateway.models import MAX_RESPONSE_ID, StoredResponse
from gateway.responses import store as stores
from gateway.responses.conversation import Conversation
from gateway.responses.state import drop_oldest
from gateway.responses.store import KEPT_SECONDS, Owned, ResponseStore
from keys.errors import DatabaseAway
from keys.identity import ANONYMOUS, MASTER, Identity
from tests.support.clock import Clock

pytestmark = pytest.mark.django_db
MINE = Identity(key_id=1, name="mine", user_id="me")
ANOTHER = Identity(key_id=2, name="another", user_id="me")
NOON = 1_800_000_000.0


def run(act: Callable[[], None]) -> None:
    act()


def away(act: Callable[[], None]) -> None:
    raise OperationalError("away")


def a_store(
    most_bytes: int = 1_000_000, runner: Callable[..., None] = run, clock: Clock | None = None
) -> ResponseStore:
    return ResponseStore(runner, most_bytes, clock=clock or Clock(NOON))


def owned(store: ResponseStore, response_id: str = "resp_1", identity: Identity = MINE) -> Owned:
    return store.owned_now(response_id, identity, upstream_id=7, upstream_name="gpu", model="tiny")


def conversation(size: int = 10) -> Conversation:
    text = random.Random(size).randbytes(size // 2).hex()
    return Conversation([{"role": "user", "content": text}], {"id": "resp_1"})


def kept(store: ResponseStore, response_id: str = "resp_1", **fields: Any) -> None:
    store.keep(owned(store, response_id), conversation(**fields))


def test_it_works() -> None:
    store = a_store()
    kept(store)
    for one in (store, a_store()):
        found = one.find("resp_1")
        assert found is not None
        assert (found.key_id, found.upstream_id, found.upstream_name, found.model) == (1, 7, "gpu", "tiny")
        assert found.conversation() == conversation()


def test_memory_comes_first(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    store, another = a_store(), a_store()
    with django_assert_num_queries(1):
        store.keep(owned(store))
    with django_assert_num_queries(0):
        store.find("resp_1")
    with django_assert_num_queries(1):
        another.find("resp_1")
        another.find("resp_1")


def test_it_is_for_its_key_and_for_the_master() -> None:
    one = owned(a_store())
    assert [one.is_for(who) for who in (MINE, MASTER, ANOTHER, ANONYMOUS)] == [True, True, False, False]


def test_the_master_s_and_nobody_s_are_two() -> None:
    store = a_store()
    assert not owned(store, identity=MASTER).is_for(ANONYMOUS)
    assert owned(store, identity=ANONYMOUS).is_for(ANONYMOUS)
    assert not owned(store, identity=ANONYMOUS).is_for(MINE)


def test_what_is_somebody_s_stays_theirs() -> None:
    store = a_store()
    store.keep(owned(store))
    other = a_store()
    other.keep(owned(other, identity=ANOTHER), in_memory=False)
    found = other.find("resp_1")
    assert found is not None
    assert found.key_id == 1


@pytest.mark.parametrize("response_id", ["resp_0", "x" * (MAX_RESPONSE_ID + 1), "a\x00b", "\ud800", ""])
def test_what_nobody_made_is_nobody_s(response_id: str) -> None:
    assert a_store().find(response_id) is None


def test_a_long_id_is_not_kept() -> None:
    store = a_store()
    store.keep(owned(store, "x" * (MAX_RESPONSE_ID + 1)))
    assert not StoredResponse.objects.exists()


def test_it_is_known_for_a_day() -> None:
    clock = Clock(NOON)
    store = a_store(clock=clock)
    store.keep(owned(store))
    clock.now += KEPT_SECONDS
    assert store.find("resp_1") is None
    assert a_store(clock=clock).find("resp_1") is None


def test_memory_alone_knows_it_while_the_database_is_away(caplog: pytest.LogCaptureFixture) -> None:
    store = a_store(runner=away)
    kept(store)
    kept(store, "resp_2")
    assert store.find("resp_1") is not None
    with pytest.raises(DatabaseAway):
        store.find("resp_3")
    assert len(caplog.records) == 1


def test_the_database_is_asked_again_after_a_while() -> None:
    clock, asked = Clock(NOON), [0]

    def broken_once(act: Callable[[], None]) -> None:
        asked[0] += 1
        if asked[0] == 1:
            raise OperationalError("away")
        act()

    store = a_store(runner=broken_once, clock=clock)
    kept(store)
    kept(store, "resp_2")
    assert asked == [1]
    clock.now += stores.AWAY_SECONDS
    kept(store, "resp_3")
    assert [row.response_id for row in StoredResponse.objects.all()] == ["resp_3"]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "MOST_IN_MEMORY", 2)
    store = a_store(runner=away)
    for number in range(3):
        store.keep(owned(store, f"resp_{number}"))
    assert store.find("resp_2") is not None
    with pytest.raises(DatabaseAway):
        store.find("resp_0")


def test_memory_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "MOST_BYTES_IN_MEMORY", 30_000)
    store = a_store()
    for number in range(3):
        kept(store, f"resp_{number}", size=20_000)
    assert store._in_memory <= 30_000


def test_what_is_kept_cannot_be_read_in_the_database() -> None:
    store = a_store()
    store.keep(owned(store), Conversation([{"content": "the secret"}], {}))
    assert "secret" not in (StoredResponse.objects.get().state or "")


def test_with_other_keys_it_is_as_if_nothing_were_kept(settings: Settings) -> None:
    kept(a_store())
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    found = a_store().find("resp_1")
    assert found is not None
    assert found.conversation() is None


def test_all_together_keep_to_the_size() -> None:
    clock = Clock(NOON)
    store = a_store(100_000, clock=clock)
    for number in range(12):
        clock.now += 1
        kept(store, f"resp_{number:02}", size=20_000)
    states = dict(StoredResponse.objects.values_list("response_id", "state_bytes"))
    assert sum(states.values()) <= 105_000
    assert states["resp_00"] == 0
    assert states["resp_11"] > 0
    assert a_store(clock=clock).find("resp_00") is not None  # whose it is is still known


def test_nothing_is_kept_where_none_may_be() -> None:
    store = a_store(0)
    kept(store)
    assert StoredResponse.objects.get().state is None


def test_the_oldest_go_first_also_by_hand() -> None:
    store = a_store()
    kept(store, "resp_1", size=1000)
    assert drop_oldest(10_000) == 0
    assert drop_oldest(0) == 1
    assert StoredResponse.objects.get().state is None


def test_rows_past_their_time_are_pruned() -> None:
    clock = Clock(NOON)
    store = a_store(clock=clock)
    store.keep(owned(store))
    clock.now += KEPT_SECONDS
    store.keep(owned(store, "resp_2"))
    assert Pruner(90, clock=clock).turn() == 1
    assert StoredResponse.objects.get().response_id == "resp_2"


def test_a_rotation_of_the_encryption_keys_drops_what_was_kept() -> None:
    kept(a_store())
    call_command("rotate_encryption", stdout=StringIO())
    assert StoredResponse.objects.get().state is None
    found = a_store().find("resp_1")
    assert found is not None
    assert found.conversation() is None


def test_times_are_a_day_apart() -> None:
    kept(a_store())
    row = StoredResponse.objects.get()
    assert row.created_at == datetime.fromtimestamp(NOON, tz=UTC)
    assert row.expires_at - row.created_at == timedelta(days=1)
    assert str(row) == "resp_1"
