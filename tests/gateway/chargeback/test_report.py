"""Tests of gateway.chargeback.report and of `manage.py chargeback`: from rows to a table that adds up."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection

from gateway.account.log_store import LogStore
from gateway.account.rollups import Cap
from gateway.models import RequestLog
from keys.models import Owner, Team, VirtualKey
from tests.support.entries import an_entry
from tests.test_docs import blocks
from upstreams.models import Upstream

pytestmark = pytest.mark.django_db
OCTOBER = datetime(2026, 10, 1, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
Row = dict[str, str]


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Coordinates]:
    """Two days after the month, unless a test says otherwise."""
    with time_machine.travel(NOVEMBER + timedelta(days=2), tick=False) as clock:
        yield clock


def a_server(name: str = "gpu-1", price: object = 2, since: datetime = OCTOBER) -> Upstream:
    with time_machine.travel(since, tick=False):
        return Upstream.objects.create(name=name, url=f"http://{name}:8000", price_per_hour=price)


def a_call(
    server: Upstream | None, at: datetime = OCTOBER, minutes: float = 6, completion: int | None = 10, **fields: Any
) -> None:
    """A call without a prompt, whose tokens weigh the same."""
    start = at.timestamp()
    values: dict[str, Any] = {
        "team_id": "red",
        "upstream_id": server and server.pk,
        "upstream_name": server and server.name,
        "prompt_tokens": 0,
        "cached_tokens": None,
        "completion_tokens": completion,
        "ended_at": start + minutes * 60,
    }
    LogStore(Cap(1)).store([an_entry(start, **{**values, **fields})], pytest.fail)


def run(capsys: Any, *arguments: str, month: str = "2026-10") -> tuple[list[Row], str]:
    """The table, and what was said about it."""
    call_command("chargeback", "--month", month, *arguments)
    out, err = capsys.readouterr()
    return list(csv.DictReader(io.StringIO(out))), err


def shares(rows: list[Row], column: str = "key_id") -> dict[str, tuple[str, str]]:
    """Hours and dollars of each line."""
    return {row[column] or row["upstream"] or row["line"]: (row["gpu_hours"], row["gpu_cost"]) for row in rows}


def adds_up(rows: list[Row]) -> bool:
    *parts, total = rows
    sums = [sum(Decimal(row[name]) for row in parts) for name in ("gpu_hours", "gpu_cost")]
    return sums == [Decimal(total["gpu_hours"]), Decimal(total["gpu_cost"])]


# --- Sums ---------------------------------------------------------------------------------------------------------


def test_calls_tokens_and_cost_of_each_team_and_key(capsys: Any) -> None:
    Team.objects.create(team_id="red", alias="The reds")
    key, _ = VirtualKey.objects.issue(name="renamed")
    a_call(None, key_id=key.pk, prompt_tokens=5, cached_tokens=2, cost="0.25")
    a_call(None, key_id=key.pk, cost="0.5")
    a_call(None, key_id=99, key_name="sk-...gone", team_id=None)
    rows, err = run(capsys)
    assert rows == [
        dict(zip(rows[0], values, strict=True))
        for values in (
            ("calls", "", "", "99", "sk-...gone", "", "1", "0", "0", "10", "", "", ""),
            ("calls", "red", "The reds", str(key.pk), "renamed", "", "2", "5", "2", "20", "0.75", "", ""),
            ("total", "", "", "", "", "", "3", "5", "2", "30", "0.75", "", ""),
        )
    ]
    assert list(rows[0])[:6] == ["line", "team", "team_name", "key_id", "key_name", "upstream"]
    assert err == "note: No upstream had a price per hour in this month, so there are no GPU hours to split.\n"


def test_other_months_do_not_count(capsys: Any) -> None:
    a_call(None, OCTOBER - MINUTE)
    a_call(None, NOVEMBER)
    assert [row["line"] for row in run(capsys)[0]] == ["total"]


@pytest.mark.parametrize(
    ("by", "head", "values"),
    [
        ("team", ["team", "team_name"], ["red", "The reds"]),
        ("user", ["user", "user_name"], ["ann", "ann@example.com"]),
        ("model", ["model"], ["qwen"]),
    ],
)
def test_lines_can_be_those_of_others(capsys: Any, by: str, head: list[str], values: list[str]) -> None:
    Team.objects.create(team_id="red", alias="The reds")
    Owner.objects.create(user_id="ann", email="ann@example.com")
    a_call(server := a_server(), minutes=60)
    rows, _ = run(capsys, "--by", by)
    assert list(rows[0])[1 : len(head) + 2] == [*head, "upstream"]
    assert list(rows[0].values())[1 : len(head) + 1] == values
    assert (rows[0]["gpu_hours"], rows[1]["upstream"]) == ("1.0000", server.name)


def test_a_name_that_a_caller_chose_is_no_formula(capsys: Any) -> None:
    a_call(None, model="=HYPERLINK(1)")
    assert run(capsys, "--by", "model")[0][0]["model"] == "'=HYPERLINK(1)"


# --- Hours --------------------------------------------------------------------------------------------------------


def test_busy_hours_are_split_and_the_rest_is_idle(capsys: Any) -> None:
    server = a_server()
    a_call(server, minutes=30, completion=30, key_id=1)
    a_call(server, OCTOBER + 10 * MINUTE, minutes=10, completion=10, key_id=2)
    a_call(server, OCTOBER + 5 * HOUR, minutes=60, key_id=2)
    rows, err = run(capsys)
    assert shares(rows) == {
        "1": ("0.3750", "0.75"),
        "2": ("1.1250", "2.25"),
        "gpu-1": ("742.5000", "1485.00"),
        "total": ("744.0000", "1488.00"),
    }
    assert err == "gpu-1: 744.00 hours, 1,488.00 US dollars, busy 0.2%\n"


def test_prompt_cached_and_completion_tokens_weigh_differently(capsys: Any) -> None:
    server = a_server(price=744)
    a_call(server, minutes=60, prompt_tokens=110, cached_tokens=100, completion=0, key_id=1)
    a_call(server, minutes=60, completion=20, key_id=2)
    assert shares(run(capsys)[0])["1"] == ("0.2000", "148.80")
    even = ("--prompt-weight", "2", "--cached-weight", "1.0", "--completion-weight", "6.0")
    assert shares(run(capsys, *even)[0])["1"] == ("0.5000", "372.00")


def test_a_call_counts_in_each_of_its_hours(capsys: Any) -> None:
    server = a_server(price=60)
    a_call(server, OCTOBER + 50 * MINUTE, minutes=40, completion=4, key_id=1)  # 10 and 30 minutes: 1 and 3 tokens
    a_call(server, OCTOBER + 80 * MINUTE, minutes=10, completion=9, key_id=2)
    assert shares(run(capsys)[0]) | {"gpu-1": ("", ""), "total": ("", "")} == {
        "1": ("0.2917", "17.50"),
        "2": ("0.3750", "22.50"),
        "gpu-1": ("", ""),
        "total": ("", ""),
    }


def test_a_call_that_reaches_into_a_month_has_its_part_there(capsys: Any) -> None:
    server = a_server(price=60, since=OCTOBER - HOUR)
    a_call(server, OCTOBER - 15 * MINUTE, minutes=30, key_id=1)
    rows, _ = run(capsys)
    assert (rows[0]["calls"], rows[0]["gpu_cost"]) == ("0", "15.00")
    assert shares(run(capsys, month="2026-09")[0])["1"] == ("0.2500", "15.00")


@pytest.mark.parametrize(
    "fields",
    [
        {"endpoint_class": "monitoring"},
        {"usage_source": "none"},
        {"ended_at": None, "outcome": "lost"},
        {"upstream_id": None},
        {"upstream_id": 12345},
        {"completion_tokens": 0},
    ],
)
def test_what_no_gpu_worked_on_makes_no_hour_busy(capsys: Any, fields: dict[str, Any]) -> None:
    a_call(a_server(), **fields)
    rows, _ = run(capsys)
    assert (rows[0]["gpu_cost"], rows[1]["gpu_cost"]) == ("0.00", "1488.00")


def test_a_call_whose_tokens_nobody_knows_counts_as_one(capsys: Any) -> None:
    unknown = {"prompt_tokens": None, "completion_tokens": None, "usage_source": "unknown"}
    a_call(a_server(), minutes=60, **unknown)
    assert shares(run(capsys)[0])["7"] == ("1.0000", "2.00")


def test_the_sum_is_the_bill_to_the_cent(capsys: Any) -> None:
    for name, price in (("gpu-1", "1.37"), ("gpu-2", "0.333333")):
        server = a_server(name, price)
        for number in range(40):
            at = OCTOBER + number * 17 * HOUR + number * 13 * MINUTE
            a_call(server, at, minutes=7 + number, completion=number, key_id=number % 7 + 1, team_id=f"t{number % 3}")
    rows, err = run(capsys)
    assert adds_up(rows)
    assert rows[-1]["gpu_cost"] == "1267.28"  # 1019.28 and 248.00
    assert [row["upstream"] for row in rows if row["line"] == "idle"] == ["gpu-1", "gpu-2"]
    assert "gpu-2: 744.00 hours, 248.00 US dollars" in err
    by_team, _ = run(capsys, "--by", "team")
    assert adds_up(by_team)
    for team in ("t0", "t1", "t2"):
        keys = [Decimal(row["gpu_cost"]) for row in rows if row["team"] == team]
        assert [row["gpu_cost"] for row in by_team if row["team"] == team] == [str(sum(keys))]


# --- Which hours are billed ---------------------------------------------------------------------------------------


def test_hours_before_it_was_added_and_after_it_was_deleted_are_not_billed(capsys: Any) -> None:
    server = a_server(since=OCTOBER + 10 * HOUR + 15 * MINUTE)
    a_call(server, OCTOBER + 12 * HOUR, minutes=60)
    with time_machine.travel(OCTOBER + 20 * HOUR + 45 * MINUTE, tick=False):
        server.delete()
    assert shares(run(capsys)[0]) == {
        "7": ("1.0000", "2.00"),
        "gpu-1": ("9.5000", "19.00"),
        "total": ("10.5000", "21.00"),
    }
    assert [row["line"] for row in run(capsys, month="2026-09")[0]] == ["total"]


def test_a_new_price_counts_from_its_change(capsys: Any) -> None:
    server = a_server(price=1)
    with time_machine.travel(OCTOBER + 10 * HOUR + 30 * MINUTE, tick=False):
        server.price_per_hour = Decimal(3)
        server.save()
    a_call(server, OCTOBER + 10 * HOUR, minutes=60)
    assert shares(run(capsys)[0])["7"] == ("1.0000", "2.00")
    assert shares(run(capsys)[0])["total"] == ("744.0000", "2211.00")


def test_a_month_that_is_not_over_is_billed_up_to_the_last_full_hour(capsys: Any) -> None:
    a_server()
    rows, err = run(capsys, month="2026-11")
    assert shares(rows)["total"] == ("48.0000", "96.00")
    assert "note: The month is not over: this is its state at 2026-11-03 00:00 UTC." in err


def test_servers_without_a_price_are_named(capsys: Any) -> None:
    a_server()
    a_call(a_server("spare", price=None))
    rows, err = run(capsys)
    assert (rows[0]["calls"], rows[0]["gpu_cost"]) == ("1", "0.00")
    assert "note: Without a price per hour, and so not in the bill: spare." in err


# --- Without rows -------------------------------------------------------------------------------------------------


def test_where_the_rows_are_gone_the_sums_by_hour_stand_in_and_it_is_said(capsys: Any) -> None:
    server = a_server()
    for key_id in (1, 1, 1, 2):
        a_call(server, minutes=30, key_id=key_id)
    RequestLog.objects.all().delete()
    rows, err = run(capsys)
    assert shares(rows)["1"] == ("0.7500", "1.50")  # two hours, all added up: at most the whole hour was busy
    assert shares(rows)["2"] == ("0.2500", "0.50")
    assert adds_up(rows)
    assert "note: The rows of the request log are gone. How busy" in err
    assert "hours with calls: 1." in err


def test_short_calls_without_rows_leave_most_of_the_hour_idle(capsys: Any) -> None:
    a_call(a_server(), minutes=0.5)
    RequestLog.objects.all().delete()
    hours = float(shares(run(capsys)[0])["7"][0])
    assert 0.5 / 60 / 2 < hours < 0.5 / 60 * 2


def test_hours_that_have_their_rows_are_exact_all_the_same(capsys: Any) -> None:
    server = a_server()
    a_call(server, minutes=60)
    a_call(server, OCTOBER + HOUR, minutes=6)  # loses its neighbour: the hour is no longer whole
    a_call(server, OCTOBER + HOUR + MINUTE, minutes=6)
    a_call(server, OCTOBER + 5 * HOUR, minutes=60, key_id=5)
    oldest = list(RequestLog.objects.order_by("pk")[:2])
    RequestLog.objects.filter(pk__in=[row.pk for row in oldest]).delete()
    rows, err = run(capsys)
    assert shares(rows)["5"] == ("1.0000", "2.00")
    assert adds_up(rows)
    assert "The rows of the request log before 2026-10-01 02:00 UTC are gone. How busy" in err
    assert "hours with calls: 2." in err


def test_an_hour_in_which_nobody_called_is_idle_without_rows_too(capsys: Any) -> None:
    a_server()
    rows, err = run(capsys)
    assert shares(rows) == {"gpu-1": ("744.0000", "1488.00"), "total": ("744.0000", "1488.00")}
    assert "gone" not in err


def test_models_beyond_the_first_are_other_here_as_well(capsys: Any) -> None:
    """The sums by hour keep a bounded number of names (in these tests: one)."""
    server = a_server()
    a_call(server, minutes=30, model="first")
    a_call(server, minutes=30, model="second")
    assert shares(run(capsys, "--by", "model")[0], "model") == {
        "first": ("0.2500", "0.50"),
        "other": ("0.2500", "0.50"),
        "gpu-1": ("743.5000", "1487.00"),
        "total": ("744.0000", "1488.00"),
    }


# --- The command --------------------------------------------------------------------------------------------------


def test_the_table_goes_to_a_file(capsys: Any, tmp_path: Path) -> None:
    a_call(a_server(), key_name='Größe, "eins"')
    file = tmp_path / "october.csv"
    call_command("chargeback", "--month", "2026-10", "--csv", str(file))
    out, _ = capsys.readouterr()
    assert out == f"4 rows in {file}.\n"
    with file.open(encoding="utf-8", newline="") as text:
        assert [row["line"] for row in csv.DictReader(text)] == ["calls", "idle", "total"]
    assert "Größe" in file.read_text()


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"nowhere/x.csv cannot be written: No such file or directory\.$"):
        call_command("chargeback", "--month", "2026-10", "--csv", str(tmp_path / "nowhere/x.csv"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "required: --month"),
        (("--month", "october"), "--month must be a month such as 2026-11"),
        (("--month", "2027-01"), "has not begun"),
        (("--month", "2026-10", "--by", "colour"), "invalid choice: 'colour'"),
        (("--month", "2026-10", "--prompt-weight", "much"), "--prompt-weight must be a number from 0 to 1000000"),
        (("--month", "2026-10", "--cached-weight", "-1"), "--cached-weight must be"),
        (("--month", "2026-10", "--cached-weight", "0.0001"), "at most three decimal places"),
        (("--month", "2026-10", "--completion-weight", "NaN"), "--completion-weight must be"),
        (
            ("--month", "2026-10", *("--prompt-weight", "0", "--cached-weight", "0", "--completion-weight", "0")),
            "At least one weight must be greater than 0",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(CommandError) as caught:
        call_command("chargeback", *arguments)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_database_that_is_away_is_one_sentence() -> None:
    def away(*_: object) -> None:
        raise DatabaseError

    with connection.execute_wrapper(away), pytest.raises(ImproperlyConfigured, match="The database cannot be used"):
        call_command("chargeback", "--month", "2026-10")


def test_the_example_of_the_documentation_is_such_a_table(capsys: Any) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "chargeback.md").read_text()
    (example,) = (block for block in blocks(page, "text") if block.startswith("line,"))
    told = list(csv.DictReader(io.StringIO(example)))
    a_call(a_server())
    assert list(told[0]) == list(run(capsys)[0][0])
    assert adds_up(told)
