"""Whose calls somebody sees who does not see all."""

from __future__ import annotations

import csv
import io
import time

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from gateway.account.log_store import LogStore
from gateway.admin_pages.log_search import ids_like
from gateway.admin_pages.logs import RequestLogAdmin
from gateway.models import RequestLog
from keys.models import Team, VirtualKey
from tests.gateway.admin_pages.log_explorer.page import LIST, calls, found, sent
from tests.support.admin_lists import listed
from tests.support.entries import an_entry
from tests.support.people import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def manager() -> Client:
    Team.objects.create(team_id="mine")
    return signed_in("gateway.view_requestlog", teams=["mine"])


@pytest.mark.parametrize(
    "query",
    [
        "",
        "q=req",
        "q=secret-bot",
        "team=theirs",
        "key=9",
        "ended=trouble",
        "status=4",
        "tag=t",
        "error_type=e",
        "route=/r",
        "before=" + "f" * 32,
    ],
)
def test_who_manages_a_team_sees_its_calls_alone(manager: Client, query: str) -> None:
    alike = {"status": 404, "tags": ["t"], "error_type": "e", "route": "/r"}
    theirs = {"team_id": "theirs", "key_id": 9, "key_name": "secret-bot", **alike}
    calls(theirs, {"team_id": None}, {"team_id": "mine", **alike}, theirs)
    shown = [row.team_id for row in listed(RequestLog, f"?{query}", user=User.objects.get()).result_list]
    kept = [row["team_id"] for row in csv.DictReader(io.StringIO(sent(manager.get(f"{LIST}export.csv?{query}"))))]
    expected = [] if query in {"q=secret-bot", "team=theirs", "key=9"} else ["mine"]
    assert shown == expected
    assert set(kept) <= {"mine"}


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_teams_calls_are_found_by_request_id_however_many_begin_alike(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.admin_pages.log_search.MOST_FOUND", most)
    calls({"team_id": "theirs"}, {"team_id": "mine"}, {"team_id": None})
    assert ids_like("req-", ["mine", "ours"]) == {RequestLog.objects.get(team_id="mine").pk}


def test_few_request_ids_that_begin_alike_are_one_question_for_all_teams(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    calls({"team_id": "theirs"}, {"team_id": "mine"})
    with django_assert_num_queries(1):
        assert not ids_like("req-0", ["mine", "ours", "others"])


def test_who_manages_a_team_cannot_open_anothers_call(manager: Client) -> None:
    calls({"team_id": "theirs"}, {"team_id": "mine"})
    theirs, mine = RequestLog.objects.order_by("pk")
    assert manager.get(f"{LIST}{theirs.pk}/change/").status_code == 302
    assert manager.get(f"{LIST}{mine.pk}/change/").status_code == 200


def test_who_manages_a_team_is_told_no_names_of_others(manager: Client) -> None:
    Team.objects.create(team_id="theirs")
    key, _ = VirtualKey.objects.issue(name="covert bot")
    VirtualKey.objects.issue(name="covert manager", team_id="mine", key_type="management")
    calls({"team_id": "theirs", "model": "covert-model", "tags": ["covert-tag"], "key_id": key.pk})
    html = manager.get(LIST).content.decode()
    assert "covert" not in html
    assert "theirs" not in html
    assert '<option value="mine">' in html


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"q": "fir"}, ["first-name"]),  # the last of its day
        ({"q": "second-name"}, ["second-name"]),  # not that, so only the whole of it
        ({"q": "third"}, ["third-name"]),
        ({"key": "7"}, ["third-name", "second-name", "first-name"]),
    ],
)
def test_who_manages_a_team_finds_calls_of_a_key_by_its_earlier_names(query: dict[str, str], names: list[str]) -> None:
    Team.objects.create(team_id="mine")
    signed_in("gateway.view_requestlog", teams=["mine"])
    now = time.time()
    times = {"first-name": now - 86_400, "second-name": now - 0.002, "third-name": now}
    made = [an_entry(at=at, team_id="mine", key_id=7, key_name=name) for name, at in times.items()]
    LogStore().store(made, pytest.fail)
    shown = listed(RequestLog, query, user=User.objects.get()).result_list
    assert [row.key_name for row in shown] == names


def test_who_manages_many_teams_sees_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.admin_pages.log_ranges.MOST_TEAMS", 1)
    signed_in("gateway.view_requestlog", teams=["a", "b"])
    calls({"team_id": "a"}, {"team_id": "b"}, {"team_id": "c"})
    assert found(User.objects.get()) == ["req-1", "req-0"]


def test_who_manages_no_team_sees_no_call() -> None:
    nobody = signed_in("gateway.view_requestlog", teams=[])
    calls({"team_id": "a"}, {"team_id": None})
    assert found(User.objects.get()) == []
    assert sent(nobody.get(f"{LIST}export.ndjson")) == ""


def test_a_page_leads_on_where_ranges_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RequestLogAdmin, "list_per_page", 2)
    calls(*({"key_name": "abc", "end_user": "abc"} for _ in range(3)))
    first = listed(RequestLog, {"q": "abc"})
    assert [row.request_id for row in listed(RequestLog, first.older_url).result_list] == ["req-0"]
