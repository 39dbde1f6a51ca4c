from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import product
from random import Random
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from gateway.account.log_store import LogStore
from gateway.admin_pages import usage_figures, usage_ranking
from gateway.admin_pages.usage_figures import OTHERS, Asked, chart, lines, start_of, total
from gateway.admin_pages.usage_form import UsageForm
from gateway.chargeback.month import latest
from keys.models import Team, VirtualKey
from tests.support.entries import an_entry
from tests.support.people import signed_in
from upstreams.models import PricePeriod, Upstream

pytestmark = pytest.mark.django_db
URL = "/admin/usage/"
STATEMENT = "/admin/usage/statement/"
NOW = datetime(2026, 5, 20, 12, 0, tzinfo=UTC)
DAY = NOW.date()


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> None:
    usage_ranking.forget()


def calls(*entries: dict[str, Any]) -> None:
    LogStore().store(list(entries), pytest.fail)


def call(days_ago: float = 0, **fields: Any) -> dict[str, Any]:
    return an_entry(at=(timezone.now() - timedelta(days=days_ago)).timestamp(), **fields)


def at(moment: datetime, **fields: Any) -> dict[str, Any]:
    return an_entry(at=moment.timestamp(), **fields)


def asked(by: str = "team", days: int = 30, **more: Any) -> Asked:
    return Asked(by, DAY - timedelta(days=days - 1), DAY, **more)


# --- Figures


def test_lines_come_with_most_of_the_measure_first() -> None:
    calls(at(NOW, model="a", cost="1"), at(NOW, model="b", cost="3"), at(NOW, model="b", status=500))
    assert [(line.value, line.cost) for line in lines(asked("model", measure="cost"))[0]] == [("b", 3), ("a", 1)]
    assert [line.value for line in lines(asked("model", measure="failed"))[0]] == ["b", "a"]
    every = total(asked("model"))
    assert (every.calls, every.errors, every.tokens, every.cost) == (3, 1, 24, Decimal(4))


def test_what_was_not_answered_failed_or_was_refused_or_cut() -> None:
    ends = [("completed", 400), ("upstream_failed", 502), ("refused", 429), ("revoked", 200), ("completed", 200)]
    calls(*(at(NOW, model="a", outcome=outcome, status=status) for outcome, status in ends))
    [line] = lines(asked("model", measure="failed"))[0]
    assert (line.calls, line.failed, line.refused, line.cut) == (5, 2, 1, 1)
    assert round(line.failed_per_cent or 0) == 67  # of the three that were let through and not cut
    drawn = {
        name: chart(asked("model", measure=name), [line])["series"][0]["values"][-1] for name in ("failed", "refused")
    }
    assert drawn == {"failed": 2, "refused": 1}


@pytest.mark.parametrize(
    ("by", "names"),
    [("key", ["renamed", "gone"]), ("team", ["Research", "No team"]), ("upstream", ["gpu-new", "gpu-gone"])],
)
def test_names_are_those_of_now_or_the_last_known(by: str, names: list[str]) -> None:
    key, _ = VirtualKey.objects.issue(name="renamed")
    Team.objects.create(team_id="r", alias="Research")
    upstream = Upstream(name="gpu-new", url="http://127.0.0.1:1")
    upstream.save()
    here = {"key_id": key.pk, "key_name": "old", "team_id": "r", "upstream_id": upstream.pk, "upstream_name": "gpu"}
    gone = {"key_id": 999, "key_name": "gone", "team_id": None, "upstream_id": 999, "upstream_name": "gpu-gone"}
    calls(at(NOW, **here), at(NOW, **here), at(NOW, **gone))
    assert [line.name for line in lines(asked(by, measure="calls"))[0]] == names


@pytest.mark.parametrize("measure", ["tokens", "cost", "calls", "failed", "refused"])
def test_the_largest_are_the_same_whether_looked_for_by_month_or_by_day(
    measure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance, ends = Random(measure), [("completed", 200), ("upstream_failed", 502), ("refused", 429)]
    made = []
    for _ in range(120):
        number, (outcome, status) = int(chance.paretovariate(1)) % 12, chance.choice(ends)
        who = {"key_id": number, "end_user": f"user-{number}", "cost": chance.choice([None, "0.5", str(number)])}
        moment = NOW - timedelta(days=chance.randrange(80))
        made.append(at(moment, outcome=outcome, status=status, completion_tokens=chance.randrange(99), **who))
    calls(*made)
    all_lines = {by: lines(asked(by, measure=measure), most=None)[0] for by in ("key", "end_user")}
    for by, looked_at in product(all_lines, ((1,), (3, 6), (50,))):
        monkeypatch.setattr("gateway.admin_pages.usage_ranking.LOOKED_AT", looked_at)
        every, (found, more) = all_lines[by], lines(asked(by, measure=measure), most=4)
        assert [getattr(line, measure) or 0 for line in found] == [getattr(line, measure) or 0 for line in every[:4]]
        assert more
        assert all(line in every for line in found)


@pytest.mark.parametrize("by", ["team", "key", "owner", "end_user"])
@pytest.mark.parametrize("measure", ["tokens", "cost"])
def test_whole_months_have_the_sums_of_their_days(by: str, measure: str) -> None:
    chance = Random(by)
    moments = [NOW - timedelta(days=days) for days in (0, 19, 20, 30, 49, 50, 59, 60) for _ in range(9)]
    whose = [str(chance.randrange(9)) for _ in moments]
    columns = {"team": "team_id", "key": "key_id", "owner": "user_id", "end_user": "end_user"}
    costs = {value: chance.choice([None, "0", value]) for value in set(whose)}
    calls(
        *(at(moment, **{columns[by]: value}, cost=costs[value]) for moment, value in zip(moments, whose, strict=True))
    )
    what = asked(by, days=60, measure=measure)
    sums: dict[str, list[Any]] = {}
    for day in usage_figures.steps(what):
        for line in lines(day, most=None)[0]:
            known = sums.setdefault(line.value, [0, 0, None])
            cost = known[2] if line.cost is None else line.cost + (known[2] or 0)
            sums[line.value] = [known[0] + line.calls, known[1] + line.tokens, cost]
    found, _ = lines(what, most=None)
    assert {line.value: [line.calls, line.tokens, line.cost] for line in found} == sums
    weights = [(getattr(line, measure) is not None, getattr(line, measure) or 0) for line in found]
    assert weights == sorted(weights, reverse=True)


def test_those_with_none_of_the_measure_are_listed_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    earlier, now = NOW - timedelta(days=9), NOW
    calls(*(at(earlier, key_id=number) for number in range(1, 4)), *(at(now, key_id=number) for number in range(7, 9)))
    monkeypatch.setattr("gateway.admin_pages.usage_ranking.LOOKED_AT", (2, 3))
    found, more = lines(asked("key", days=2, measure="failed"), most=1)
    assert ([line.value for line in found], more) == (["7"], True)


def test_more_values_than_a_question_may_name_are_all_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    calls(*(at(NOW, key_id=number, completion_tokens=number) for number in range(1, 9)))
    monkeypatch.setattr("gateway.admin_pages.usage_ranking.LOOKED_AT", (4,))
    monkeypatch.setattr("gateway.admin_pages.usage_ranking.MOST_NAMED", 3)
    sums_of = usage_figures._sums_of
    noted: list[Asked] = []
    monkeypatch.setattr(usage_figures, "_sums_of", lambda what, rows: noted.append(what) or sums_of(what, rows))
    assert [line.value for line in lines(asked("key"), most=2)[0]] == ["8", "7"]
    assert len(noted) == 1  # none by their names


def test_only_the_days_asked_for_are_summed() -> None:
    calls(at(NOW), at(NOW - timedelta(days=6)), at(NOW - timedelta(days=7)))
    assert total(asked(days=7)).calls == 2


def test_the_chart_has_each_step_and_all_others() -> None:
    calls(*[at(NOW - timedelta(days=number % 3), model=f"m{number}") for number in range(9)])
    top, _ = lines(asked("model", days=3, measure="calls"))
    drawn = chart(asked("model", days=3, measure="calls"), top)
    assert drawn["x"][0] == datetime(2026, 5, 18, tzinfo=UTC).timestamp()
    assert len(drawn["x"]) == 3
    assert drawn["series"][-1]["name"] == OTHERS
    assert sum(sum(one["values"]) for one in drawn["series"]) == 9


@pytest.mark.parametrize(("step", "first", "steps"), [("week", (2026, 4, 20), 5), ("month", (2026, 4, 1), 2)])
def test_steps_are_weeks_from_monday_and_months(step: str, first: tuple[int, int, int], steps: int) -> None:
    calls(at(NOW, cost="2"))
    drawn = chart(asked(step=step, measure="cost"), lines(asked(step=step, measure="cost"))[0])
    assert drawn["x"][0] == datetime(*first, tzinfo=UTC).timestamp()
    assert drawn["series"][0]["values"] == [*[0] * (steps - 1), 2.0]
    assert start_of(DAY, "day") == DAY


# --- The page


def test_it_works() -> None:
    calls(call(model="qwen", cost="1.5"), call(3, model="llama"))
    page = signed_in().get(URL, {"by": "model", "measure": "cost"}).content.decode()
    assert "Cost by model" in page
    assert page.index("qwen") < page.index("llama")
    assert "1.50" in page
    assert 'data-chart="usage-chart-data"' in page


def test_last_month_s_statement_is_one_click_away() -> None:
    last = timezone.now().date().replace(day=1) - timedelta(days=1)
    page = signed_in().get(URL).content.decode()
    assert (
        f'<a class="button-quiet" href="/admin/usage/statement/?month={last:%Y-%m}">Statement of {last:%B}</a>' in page
    )


def test_an_empty_gateway_says_what_to_do() -> None:
    page = signed_in().get(URL).content.decode()
    assert "Nothing has been used yet" in page
    assert "/admin/keys/virtualkey/add/" in page


def test_a_time_without_calls_is_told_from_an_empty_gateway() -> None:
    calls(call(60))
    assert "No calls in this time" in signed_in().get(URL).content.decode()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"by": "colour"}, "Select a valid choice"),
        ({"range": "own"}, "Choose the first day."),
        ({"range": "own", "since": "2026-05-02", "until": "2026-05-01"}, "must not be before the first"),
        ({"range": "own", "since": "2001-01-01"}, "Choose at most 1100 days."),
        ({"range": "own", "since": "yesterday"}, "Enter a valid date."),
        ({"range": "own", "since": "9999-12-01", "until": "9999-12-31"}, "Choose a day from 2000 to today."),
        ({"range": "own", "since": "0001-01-01", "until": "0001-01-31"}, "Choose a day from 2000 to today."),
        ({"team": "nobody"}, "Select a valid choice"),
    ],
)
def test_a_wrong_query_is_said_in_a_sentence(query: dict[str, str], said: str) -> None:
    response = signed_in().get(URL, query)
    assert response.status_code == 400
    assert said in response.content.decode()


def days(today: date = DAY, **query: str) -> tuple[date, date]:
    form = UsageForm(query, teams={}, today=today)
    assert form.is_valid(), form.errors
    found = form.asked(None)
    return found.first, found.last


def test_days_to_come_are_left_out() -> None:
    own = {"range": "own", "since": "2026-05-01"}
    assert days(**own) == days(**own, until="9999-12-31") == (date(2026, 5, 1), DAY)
    assert days(**own, until="2026-05-02") == (date(2026, 5, 1), date(2026, 5, 2))
    tomorrow = DAY + timedelta(days=1)
    assert days(range="own", since=str(tomorrow), until=str(tomorrow)) == (tomorrow, tomorrow)


@pytest.mark.parametrize(
    ("today", "first"),
    [
        (date(2026, 11, 21), date(2025, 12, 1)),
        (date(2026, 12, 31), date(2026, 1, 1)),
        (date(2024, 2, 29), date(2023, 3, 1)),
    ],
)
def test_the_last_twelve_months_are_twelve(today: date, first: date) -> None:
    assert days(today, range="year") == (first, today)


def rows_of(response: Any) -> list[list[str]]:
    return list(csv.reader(b"".join(response.streaming_content).decode().splitlines()))


@pytest.mark.parametrize(
    ("step", "times"),
    [
        ("day", [("2026-04-30", "2026-04-30"), ("2026-05-04", "2026-05-04")]),
        ("week", [("2026-04-29", "2026-05-03"), ("2026-05-04", "2026-05-05")]),
        ("month", [("2026-04-29", "2026-04-30"), ("2026-05-01", "2026-05-05")]),
    ],
)
def test_a_csv_in_steps_says_from_when_to_when(step: str, times: list[tuple[str, str]]) -> None:
    early, late = datetime(2026, 4, 30, 12, tzinfo=UTC), datetime(2026, 5, 4, 12, tzinfo=UTC)
    calls(at(early, model="a", cost="0.5"), at(late, model="a"), at(late, model="=b"), at(late, model="=b"))
    query = {"by": "model", "measure": "calls", "step": step, "range": "own", "since": "2026-04-29"}
    response = signed_in().get(f"{URL}csv/", {**query, "until": "2026-05-05", "in_steps": "1"})
    head, *rows = rows_of(response)
    assert head[:5] == ["from", "to", "model", "name", "calls"]
    assert [row[:5] for row in rows] == [
        [*times[0], "a", "a", "1"],
        [*times[1], "'=b", "'=b", "2"],
        [*times[1], "a", "a", "1"],
    ]
    assert rows[0][-1] == "0.5"
    assert f"usage-by-model-and-{step}-2026-04-29-2026-05-05.csv" in response["Content-Disposition"]


def test_both_downloads_have_what_the_page_shows() -> None:
    calls(call(model="qwen"))
    page = signed_in().get(URL, {"by": "model", "step": "week"}).content.decode()
    assert 'href="/admin/usage/csv/?by=model&amp;step=week">Download CSV</a>' in page
    assert 'href="/admin/usage/csv/?by=model&amp;step=week&amp;in_steps=1">CSV by week</a>' in page


def test_csv_has_every_line_and_no_formulas() -> None:
    calls(*[call(model=f"m{number}") for number in range(120)], call(model="=1+1", cost="0.25"))
    response = signed_in().get(f"{URL}csv/", {"by": "model", "measure": "cost"})
    rows = rows_of(response)
    assert (
        ",".join(rows[0])
        == "model,name,calls,failed,refused,cut,prompt_tokens,cached_tokens,completion_tokens,cost_usd"
    )
    assert len(rows) == 122
    assert rows[1] == ["'=1+1", "'=1+1", "1", "0", "0", "0", "3", "1", "5", "0.25"]
    assert "attachment" in response["Content-Disposition"]


def test_a_page_asks_the_database_a_few_times(django_assert_max_num_queries: Any) -> None:
    client = signed_in()
    calls(*[call(number % 30, model=f"m{number}", key_id=number + 1) for number in range(60)])
    client.get(URL)
    with django_assert_max_num_queries(14):
        client.get(URL, {"by": "key"})


# --- Who sees what


def two_teams() -> None:
    for team in ("a", "b"):
        Team.objects.create(team_id=team, alias=f"Team {team}")
    calls(
        call(team_id="a", key_id=1, key_name="key-of-a", user_id="owner-of-a", model="model-of-a", end_user="user-of-a",
             upstream_id=1, upstream_name="gpu-of-a", tags=["tag-of-a"], cost="1"),
        call(team_id="b", key_id=2, key_name="key-of-b", user_id="owner-of-b", model="model-of-b", end_user="user-of-b",
             upstream_id=2, upstream_name="gpu-of-b", tags=["tag-of-b"], cost="7.77"),
        call(team_id=None, key_id=3, key_name="key-of-none", cost="3"),
    )  # fmt: skip


@pytest.mark.parametrize("by", ["team", "key", "owner", "end_user", "model", "upstream", "tag"])
def test_who_manages_a_team_sees_only_that(by: str) -> None:
    two_teams()
    client, query = signed_in("gateway.view_usagehour", teams=["a"]), {"by": by, "measure": "cost"}
    files = [
        b"".join(client.get(f"{URL}csv/", {**query, **more}).streaming_content).decode()  # type: ignore[arg-type]
        for more in ({}, {"in_steps": "1"})
    ]
    for page in (client.get(URL, query).content.decode(), *files):
        assert "of-a" in page or "Team a" in page
        assert not any(text in page for text in ("of-b", "Team b", "of-none", "7.77", "11.77"))


def test_another_team_cannot_be_asked_for() -> None:
    two_teams()
    client = signed_in("gateway.view_usagehour", teams=["a"])
    assert client.get(URL, {"team": "b"}).status_code == 400
    assert client.get(f"{URL}csv/", {"team": "b"}).status_code == 400
    assert "of-b" not in client.get(STATEMENT, {"team": "b"}).content.decode()
    assert "Team b" not in client.get(STATEMENT).content.decode()
    assert '<option value="a">Team a</option></select>' in client.get(STATEMENT, {"team": "b"}).content.decode()


@pytest.mark.parametrize("path", [URL, f"{URL}csv/", STATEMENT])
def test_it_needs_the_permission(path: str) -> None:
    assert signed_in("keys.view_virtualkey").get(path).status_code == 403


# --- The statement


def statement(client: Any, month: str = "2026-05") -> str:
    text: str = client.get(STATEMENT, {"month": month}).content.decode()
    return text


def test_a_statement_has_a_page_for_each_team() -> None:
    Team.objects.create(team_id="a", alias="Research")
    calls(at(NOW, team_id="a", cost="1.5", key_name="notebooks"), at(NOW, team_id="b", cost="2", model="llama"))
    page = statement(signed_in())
    assert page.count('<article class="card statement"') == 2
    assert all(text in page for text in ("Research", "notebooks", "llama", "1.50", "1 May to", "no GPU hours to split"))


def test_of_many_teams_one_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.admin_pages.usage_statement.MOST_STATEMENTS", 1)
    calls(at(NOW, team_id="a & b", key_name="notebooks"), at(NOW, team_id="b"))
    client, one = signed_in(), "?month=2026-05&amp;team=a%20%26%20b"
    page = statement(client)
    assert one in page
    assert '<article class="card statement"' not in page
    chosen = client.get(f"{STATEMENT}{one.replace('amp;', '')}").content.decode()
    assert chosen.count('<article class="card statement"') == 1
    assert "notebooks" in chosen


def test_the_team_that_is_chosen_stays_so_in_another_month() -> None:
    Team.objects.create(team_id="a", alias="Research")
    calls(at(NOW, team_id="a"), at(NOW, team_id="gone"), at(NOW, team_id=None, key_name="of-none"))
    client = signed_in()
    one = client.get(STATEMENT, {"month": "2026-05", "team": "a"}).content.decode()
    assert one.count('<article class="card statement"') == 1
    names = ('<option value="gone">gone', '<option value="a" selected>Research', '<option value="">No team')
    assert "</option>".join(names) in one
    other = client.get(STATEMENT, {"month": "2026-04", "team": "a"}).content.decode()
    assert '<option value="a" selected>Research</option>' in other
    assert "No calls of this team in this month" in other
    every = client.get(STATEMENT, {"month": "2026-05", "team": "*"}).content.decode()
    assert every.count('<article class="card statement"') == 3
    none = client.get(STATEMENT, {"month": "2026-05", "team": ""}).content.decode()
    assert ("of-none" in none, none.count('<article class="card statement"')) == (True, 1)


def test_a_statement_says_where_it_leaves_keys_or_models_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.admin_pages.usage_statement._MOST_LINES", 1)
    calls(at(NOW, key_id=1, model="a"), at(NOW, key_id=2, model="b"))
    page = statement(signed_in())
    assert "200 keys that cost most" in page
    assert "200 models that cost most" in page


def test_gpu_hours_are_split_where_a_server_has_a_price() -> None:
    upstream = Upstream(name="gpu", url="http://127.0.0.1:1", price_per_hour=Decimal(36))
    upstream.save()
    PricePeriod.objects.update(begins_at=NOW - timedelta(days=30))
    calls(at(NOW, team_id="a", upstream_id=upstream.pk, ended_at=NOW.timestamp() + 600))
    page = statement(signed_in())
    assert "GPU hours" in page
    assert "6.00 <" in page  # ten minutes of 36 dollars an hour


def test_too_many_calls_are_left_to_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.admin_pages.usage_statement.MOST_CALLS", 0)
    Upstream(name="gpu", url="http://127.0.0.1:1", price_per_hour=Decimal(36)).save()
    PricePeriod.objects.update(begins_at=NOW - timedelta(days=30))
    calls(at(NOW))
    assert "manage.py chargeback --month 2026-05 --by team" in statement(signed_in())


def test_an_empty_month_says_so() -> None:
    assert "No calls in this month" in statement(signed_in())


@pytest.mark.parametrize(("month", "said"), [("May", "must be a month such as"), ("2099-01", "has not begun")])
def test_a_wrong_month_is_said_in_a_sentence(month: str, said: str) -> None:
    response = signed_in().get(STATEMENT, {"month": month})
    assert response.status_code == 400
    assert said in response.content.decode()


def test_the_months_to_choose_begin_with_this_one() -> None:
    options: Sequence[str] = statement(signed_in()).split("<option value=")[1:]
    assert options[0].startswith(f'"{latest(timezone.now()):%Y-%m}"')


def test_the_first_hour_of_a_month_shows_the_month_before() -> None:
    calls(at(NOW, team_id="a", cost="1.5"))
    client = signed_in()
    with time_machine.travel(datetime(2026, 6, 1, 0, 30, tzinfo=UTC), tick=False):
        page = client.get(STATEMENT).content.decode()
        early = client.get(STATEMENT, {"month": "2026-06"})
    assert '<option value="2026-05" selected>' in page
    assert '<option value="2026-06"' not in page
    assert '<article class="card statement"' in page
    assert (early.status_code, "This month has no full hour yet" in early.content.decode()) == (200, True)
