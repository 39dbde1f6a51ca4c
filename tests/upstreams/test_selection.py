"""The order of candidates."""

from upstreams.selection import STRATEGIES, Candidate, Target, choose


def candidate(number: int) -> Candidate:
    return Candidate(Target(number, f"upstream {number}", f"http://{number}", "swordfish"))


ONE, TWO, THREE = candidate(1), candidate(2), candidate(3)


def test_the_one_with_the_fewest_open_calls_comes_first() -> None:
    assert choose([ONE, TWO, THREE], {1: 5, 2: 1, 3: 2}) == [TWO, THREE, ONE]


def test_an_upstream_without_open_calls_needs_no_entry() -> None:
    assert choose([ONE, TWO], {1: 1}) == [TWO, ONE]


def test_equals_keep_their_order() -> None:
    assert choose([TWO, ONE], {1: 3, 2: 3}) == [TWO, ONE]


def test_no_strategy_loses_a_candidate() -> None:
    for strategy in STRATEGIES:
        assert set(strategy.order([ONE, TWO, THREE], {2: 1})) == {ONE, TWO, THREE}


def test_a_target_shows_neither_credential_nor_address() -> None:
    assert repr(ONE.upstream) == "Target(id=1, name='upstream 1')"
