import time
from typing import Any

import pytest

from common.errors import GatewayError
from gateway.account.entry import Outcome
from gateway.admin_pages.cause import ADMIN, CALLER, UPSTREAM, Cause
from gateway.admin_pages.cause_table import BY_OUTCOME, BY_TYPE
from gateway.admin_pages.causes import cause_of
from keys.errors import (
    AddressDenied,
    BudgetExceeded,
    EndUserBlocked,
    HolderBlocked,
    KeyBlocked,
    KeyExpired,
    LimitExceeded,
    LimitsAway,
    ModelDenied,
    RouteDenied,
)
from keys.limit_words import KIND_WORDS


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


def refused(error: GatewayError) -> Cause:
    return cause_of("refused", error.status_code, error.type, error.message)


@pytest.mark.parametrize("kind", ["key", "team", "user", "end_user"])
@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("requests", "“Calls a minute”"),
        ("tokens", "“Tokens a minute”"),
        ("max_parallel_requests", "“Calls at once”"),
    ],
)
def test_a_rate_limit_tells_whose_it_is_and_which(kind: str, limit: str, words: str) -> None:
    subject = "Rate limit exceeded for key: x. Limit type: y"
    error = LimitExceeded(subject=subject, limit=limit, ceiling=1, remaining=0, retry_after=1, kind=kind)
    cause = refused(error)
    assert (cause.who, cause.whose) == (CALLER, kind)
    assert words in cause.sentence
    assert f"the page of the {KIND_WORDS[kind]}" in cause.sentence


@pytest.mark.parametrize("kind", ["key", "team", "user", "end_user"])
@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("max_budget", "A budget of the"),
        ("budget_limits", "“More budgets”"),
        ("model_max_budget", "“Budget, per model”"),
        ("token_budget", "raise it on its page, or wait"),
    ],
)
def test_a_budget_tells_whose_it_is_and_which(kind: str, limit: str, words: str) -> None:
    cause = refused(BudgetExceeded(kind=kind, subject="x (y).", spent="5", ceiling="5", limit=limit, retry_after=1))
    assert (cause.who, cause.whose) == (ADMIN, kind)
    assert words in cause.sentence
    assert f"of the {KIND_WORDS[kind]} is spent" in cause.sentence


@pytest.mark.parametrize(("limit", "ceiling"), [("max_budget", "0"), ("token_budget", "0 tokens")])
def test_who_may_spend_nothing_is_not_told_to_wait(limit: str, ceiling: str) -> None:
    error = BudgetExceeded(kind="key", subject="x", spent="0", ceiling=ceiling, limit=limit, retry_after=None)
    sentence = refused(error).sentence
    assert "is 0 and always spent: raise it on its page." in sentence


@pytest.mark.parametrize("kind", ["team", "user"])
def test_a_blocked_holder_is_named(kind: str) -> None:
    cause = refused(HolderBlocked(kind, "x"))
    assert (cause.whose, f"The key's {KIND_WORDS[kind]} is blocked" in cause.sentence) == (kind, True)


def test_a_blocked_key_is_said_to_be_blocked() -> None:
    cause = refused(KeyBlocked())
    assert (cause.whose, cause.short) == ("key", "key blocked")
    assert cause.sentence == "The key is blocked: unblock it on its page, if that is wanted."


@pytest.mark.parametrize(("is_replaced", "who"), [(True, CALLER), (False, ADMIN)])
def test_who_uses_a_secret_that_was_replaced_has_another(is_replaced: bool, who: str) -> None:
    cause = refused(KeyExpired(masked="sk-...abcd", expired_at=1.0, now=2.0, is_replaced=is_replaced))
    assert (cause.who, cause.whose, "use the new secret" in cause.sentence) == (who, "key", is_replaced)


@pytest.mark.parametrize("kind", ["key", "team", "user", "end_user"])
@pytest.mark.parametrize("model", ["gpt-4o", "x' is not available for this API key's team, or the model", "a\nb" * 90])
def test_a_list_of_models_tells_whose_it_is(kind: str, model: str) -> None:
    cause = refused(ModelDenied(model, kind))
    assert (cause.who, cause.whose) == (ADMIN, kind)
    assert f"The {KIND_WORDS[kind]} may not use this model" in cause.sentence


@pytest.mark.parametrize("kind", ["key", "team", "user", "end_user"])
def test_a_model_that_cannot_be_told_is_named_by_the_caller(kind: str) -> None:
    cause = refused(ModelDenied(None, kind))
    assert (cause.who, cause.whose, cause.short) == (CALLER, kind, "no model named")


@pytest.mark.parametrize(
    ("error", "whose", "words"),
    [
        (EndUserBlocked("bob"), "end_user", "is blocked: unblock them"),
        (AddressDenied(), "key", "none of the key's networks"),
        (LimitsAway(), "", "GATEWAY_LIMITS_WITHOUT_STORE"),
        (RouteDenied(["/v1/x"], "/v1/y"), "key", "may not call this route"),
    ],
)
def test_other_refusals_of_keys_come_with_a_remedy(error: GatewayError, whose: str, words: str) -> None:
    cause = refused(error)
    assert (cause.whose, words in cause.sentence) == (whose, True)


@pytest.mark.parametrize("error_type", ["throttling_error", "budget_exceeded", "auth_error"])
@pytest.mark.parametrize("error_text", [None, "", "Rate limit exceeded for team: x. Limit type: moons."])
def test_a_sentence_that_is_not_ours_has_a_plain_cause(error_type: str, error_text: str | None) -> None:
    cause = cause_of("refused", 429, error_type, error_text)
    assert cause is BY_TYPE[error_type]


def test_an_outcome_of_a_later_version_is_not_explained() -> None:
    assert cause_of("teleported", None, None) is None


@pytest.mark.parametrize("model", [None, "qwen 7.5"])
def test_a_limit_that_was_reached_is_told_with_its_end(model: str | None, time_machine: Any) -> None:
    time_machine.move_to("2026-05-20 12:30:00+00:00", tick=False)
    error = LimitExceeded(subject="x", limit="requests", ceiling=1_000, remaining=0, retry_after=7, model=model)
    reached = refused(error).reached
    assert reached.limit == ("Calls a minute, per model" if model else "Calls a minute")
    assert (reached.noun, reached.ceiling, reached.is_of_places) == ("virtual key", "1,000", False)
    assert 5 <= reached.until.timestamp() - time.time() <= 8


def test_places_have_no_end() -> None:
    error = LimitExceeded(
        subject="x", limit="max_parallel_requests", ceiling=4, remaining=0, retry_after=1, kind="team"
    )
    reached = refused(error).reached
    assert (reached.limit, reached.noun, reached.until, reached.is_of_places) == ("Calls at once", "team", None, True)


@pytest.mark.parametrize("ending", ["", " Current limit: 5, Remaining: 0. Limit resets at: 2026-99-99 00:00:00+00:00"])
def test_a_sentence_that_lacks_the_figures_is_understood(ending: str) -> None:
    cause = cause_of(
        "refused", 429, "throttling_error", f"Rate limit exceeded for team: x. Limit type: tokens.{ending}"
    )
    assert (cause.reached.limit, cause.reached.until) == ("Tokens a minute", None)
