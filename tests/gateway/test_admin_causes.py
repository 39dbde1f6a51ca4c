import pytest

from gateway.account.entry import Outcome
from gateway.admin_pages.causes import ADMIN, BY_OUTCOME, CALLER, UPSTREAM, cause_of


def test_a_call_that_ended_well_has_no_cause() -> None:
    assert cause_of("completed", 200, None) is None


@pytest.mark.parametrize(
    ("status", "who"), [(400, CALLER), (401, ADMIN), (404, CALLER), (422, CALLER), (429, UPSTREAM), (500, UPSTREAM)]
)
def test_an_answer_of_the_upstream_is_explained_by_its_status(status: int, who: str) -> None:
    assert cause_of("completed", status, "BadRequestError").who == who


def test_an_answer_can_fail_behind_a_good_status() -> None:
    assert cause_of("completed", 200, "abort").who == UPSTREAM


@pytest.mark.parametrize(
    ("outcome", "error_type", "who"),
    [
        ("refused", "expired_key", ADMIN),
        ("refused", "throttling_error", CALLER),
        ("refused", "never_seen", CALLER),
        ("upstream_failed", "upstream_timeout", UPSTREAM),
        ("upstream_failed", None, UPSTREAM),
        ("gateway_failed", "internal_server_error", ADMIN),
        ("drained", "not_serving", CALLER),
        ("lost", None, ADMIN),
    ],
)
def test_a_failure_is_explained_by_its_type_or_outcome(outcome: str, error_type: str | None, who: str) -> None:
    assert cause_of(outcome, 500, error_type).who == who


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.COMPLETED])
def test_every_outcome_is_explained(outcome: Outcome) -> None:
    assert cause_of(outcome, None, None) is BY_OUTCOME[outcome]


def test_an_outcome_of_a_later_version_is_not_explained() -> None:
    assert cause_of("teleported", None, None) is None
