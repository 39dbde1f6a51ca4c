"""The one rule by which calls are counted."""

from __future__ import annotations

import pytest

from gateway.account.endings import CUTTING, FAILING, FINE, Ending, ending_of, failed_of, failed_share
from gateway.account.entry import Outcome


@pytest.mark.parametrize(
    ("status", "outcome", "ending"),
    [
        (200, "completed", "answered"),
        (None, "client_disconnected", "answered"),
        (200, "client_disconnected", "answered"),
        (404, "completed", "failed"),
        (400, "client_disconnected", "failed"),
        (200, "upstream_failed", "failed"),
        (500, "gateway_failed", "failed"),
        (None, "lost", "failed"),
        (None, "of_a_later_release", "failed"),
        (403, "refused", "refused"),
        (200, "revoked", "cut"),
        (401, "revoked", "cut"),
        (503, "drained", "cut"),
    ],
)
def test_each_call_counts_as_one_of_four(status: int | None, outcome: str, ending: str) -> None:
    assert ending_of(outcome, status) == ending


def test_every_outcome_is_one_of_the_groups() -> None:
    assert {*FINE, *FAILING, *CUTTING, Outcome.REFUSED} == set(Outcome)
    assert [ending_of(outcome, None) for outcome in FAILING] == [Ending.FAILED] * len(FAILING)


def test_what_was_summed_before_a_column_was_there_has_failed() -> None:
    assert (failed_of(5, 0, 0), failed_of(5, 2, 1), failed_of(1, 2, 0)) == (5, 2, 0)


def test_a_share_is_of_what_was_let_through_and_not_cut() -> None:
    assert (failed_share(answered=9, failed=1), failed_share(answered=0, failed=0)) == (0.1, None)
