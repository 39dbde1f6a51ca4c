import threading
from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

from hypothesis import given
from hypothesis import strategies as st

from gateway.account.call_ids import CallIds, first_at, new_call_id

clocks = st.lists(st.integers(0, 2**47 * 1_000_000), min_size=1, max_size=50)


@given(clocks)
def test_ids_grow_even_when_the_clock_goes_back(times: list[int]) -> None:
    ids = CallIds(clock=iter(times).__next__)
    made = [ids.new() for _ in times]
    assert made == sorted(set(made))


@given(clocks)
def test_ids_are_uuids_of_version_7(times: list[int]) -> None:
    ids = CallIds(clock=iter(times).__next__)
    for made in (UUID(ids.new()) for _ in times):
        assert (made.version, made.variant) == (7, RFC_4122)


@given(st.integers(0, 2**47 * 1_000_000))
def test_an_id_tells_its_millisecond(now: int) -> None:
    made = UUID(CallIds(clock=lambda: now).new())
    assert made.int >> 80 == now // 1_000_000


def test_two_sources_at_one_moment_differ() -> None:
    one, two = (CallIds(clock=lambda: 10**18) for _ in range(2))
    assert one.new() != two.new()


def test_later_fractions_of_a_millisecond_sort_later() -> None:
    early, late = (CallIds(clock=lambda now=now: now).new() for now in (10**18 + 1_000, 10**18 + 2_000))
    assert early < late


def test_threads_never_share_an_id() -> None:
    ids, made = CallIds(clock=lambda: 10**18), []
    threads = [threading.Thread(target=lambda: made.extend(ids.new() for _ in range(200))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({UUID(made_id).int >> 64 for made_id in made}) == 800


def test_first_at_parts_the_ids_of_two_moments() -> None:
    moment = datetime(2026, 5, 4, 12, tzinfo=UTC)
    ids = [CallIds(clock=lambda at=at: int(at * 1e9)).new() for at in (moment.timestamp() - 0.002, moment.timestamp())]
    assert UUID(ids[0]) < first_at(moment) <= UUID(ids[1])


def test_first_at_of_a_moment_before_1970_is_the_lowest() -> None:
    assert first_at(datetime(1960, 1, 1, tzinfo=UTC)).int == 0


def test_a_new_id_is_of_now() -> None:
    now, moment = datetime.now(UTC), timedelta(seconds=5)
    assert first_at(now - moment) < UUID(new_call_id()) < first_at(now + moment)
