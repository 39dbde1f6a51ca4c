import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import pytest
from django.test import Client

from common.money import USD
from keys.admin_budgets import budget_cell, spend_of, spends_of
from keys.limit_values import COLUMNS, limits_of
from keys.limits import budget_counter
from keys.models import EndUser, SpendWindow, Team, VirtualKey
from keys.spending import party_named, start_with
from tests.support.people import signed_in

pytestmark = pytest.mark.django_db


def a_team(team_id: str = "research", **fields: object) -> Team:
    team = Team(team_id=team_id, **fields)
    team.save()
    return team


def use(row: Team | VirtualKey | EndUser, *amounts: int) -> None:
    """Writes down what was used of each of the row's budgets, in their order."""
    budgets = limits_of({name: getattr(row, name) for name in COLUMNS}).budgets
    counters = [budget_counter(party_named(row), budget, time.time())[0] for budget in budgets]
    SpendWindow.objects.bulk_create(
        SpendWindow(counter=counter, used=used, updated_at=datetime.now(UTC))
        for counter, used in dict(zip(counters, amounts, strict=True)).items()  # two budgets may have one counter
    )


def told(row: Team) -> str:
    return re.sub(r"<[^>]+>", " ", str(budget_cell(spend_of(row)))).strip()


def test_a_row_without_a_budget_tells_what_it_spent() -> None:
    team = a_team()
    assert budget_cell(spend_of(team)) is None
    start_with(team, 3 * USD // 100)
    assert told(team) == "$0.03 spent"
    assert spend_of(team).told == "$0.03 in all"


def test_a_budget_tells_what_is_used_and_left() -> None:
    team = a_team(max_budget=5)
    use(team, 12 * USD // 10)
    [one] = spend_of(team).uses
    assert (one.told, one.left, one.each, one.resets, one.bar) == ("$1.20 of $5.00", "$3.80", "in all", "never", 24)
    assert told(team) == "$1.20 of $5.00"


def test_a_window_tells_when_it_ends() -> None:
    team = a_team(max_budget=5, budget_duration="1h")
    [one] = spend_of(team).uses
    assert one.ends_at is not None
    assert one.ends_at.minute == one.ends_at.second == 0
    assert re.fullmatch(r"\$0.00 of \$5.00, until .+", told(team))


def test_the_list_tells_the_fullest_budget_and_how_many_more_there_are() -> None:
    team = a_team(
        max_budget=50,
        soft_budget=1,
        budget_limits=[{"max_budget": 2, "budget_duration": "1mo"}],
        model_max_budget={"qwen": {"budget_limit": 3}},
        token_budget=100,
        shadow_limits=["token_budget"],
    )
    use(team, USD, 2 * USD, 2 * USD, USD, 100)
    assert re.fullmatch(r"\$2.00 of \$2.00, until [\w ]+ and 2 more", told(team))


def test_a_models_budget_names_the_model() -> None:
    team = a_team(model_max_budget={"qwen-*": {"budget_limit": 3}})
    use(team, USD)
    assert told(team) == "$1.00 of $3.00 for qwen-*"


@pytest.mark.parametrize(
    ("fields", "used", "kind", "effect"),
    [
        ({"max_budget": 5}, USD, "good", ""),
        ({"max_budget": 5}, 4 * USD, "warning", ""),
        ({"max_budget": 5}, 6 * USD, "bad", ""),
        ({"max_budget": 0}, 0, "bad", ""),
        ({"max_budget": 5, "shadow_limits": ["max_budget"]}, 6 * USD, "warning", "in shadow"),
        ({"soft_budget": 5}, 6 * USD, "warning", "reported only"),
    ],
)
def test_a_budget_is_coloured_by_what_it_does(fields: dict[str, object], used: int, kind: str, effect: str) -> None:
    team = a_team(**fields)
    use(team, used)
    [one] = spend_of(team).uses
    assert (one.kind, one.effect) == (kind, effect)
    assert one.bar <= 100


def test_each_kind_of_row_has_counters_of_its_own() -> None:
    key, _ = VirtualKey.objects.issue(name="k", max_budget=5)
    person = EndUser(end_user_id=str(key.pk), max_budget=5)
    person.save()
    use(key, USD)
    assert spend_of(key).units == USD
    assert not spend_of(person).units


def test_many_rows_take_one_query(
    django_assert_num_queries: Callable[..., AbstractContextManager[object]],
) -> None:
    teams = [a_team(f"team-{number}", max_budget=number) for number in range(20)]
    with django_assert_num_queries(1):
        assert len(spends_of(teams)) == 20


def test_many_budgets_are_read_in_batches() -> None:
    team = a_team(model_max_budget={f"model-{number}": {"budget_limit": 1} for number in range(1_000)})
    use(team, *[USD // 2] * 1_000)
    assert {one.bar for one in spend_of(team).uses} == {50}


@pytest.fixture
def admin() -> Client:
    return signed_in()


def test_a_reset_starts_budgets_in_money_anew_and_is_in_the_history(admin: Client) -> None:
    team = a_team(max_budget=5, token_budget=100)
    use(team, 5 * USD, 60)
    page = f"/admin/keys/team/{team.pk}/"
    assert "Reset spend" in admin.get(f"{page}change/").content.decode()
    assert admin.post(f"{page}reset_spend/").url == f"{page}change/"
    team.refresh_from_db()
    assert [one.used for one in spend_of(team).uses] == [0, 60]
    assert "Reset the spend, which was $5.00." in admin.get(f"{page}history/").content.decode()


def test_a_reset_is_a_button_for_who_may_change_the_row() -> None:
    team = a_team()
    page = f"/admin/keys/team/{team.pk}/reset_spend/"
    assert signed_in("keys.view_team").post(page).status_code == 403
    admin = signed_in(name="bob")
    assert admin.get(page).status_code == 302
    assert admin.post("/admin/keys/team/999/reset_spend/").status_code == 404
    team.refresh_from_db()
    assert team.spend_epoch == 0
