"""Pages of the request log, of rows that are stored once for all tests here: what one changes is undone after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from django.db import transaction

from gateway.account.retention import prune
from gateway.models import RequestLog
from gateway.spend_api import pages, queries
from gateway.spend_api.pages import Asked, page_of
from gateway.spend_api.wanted import wanted
from keys.models import VirtualKey
from tests.gateway.spend_api.conftest import API, NOW, at, store

TWENTY_MINUTES = 1 / 72
IDS = [f"r{number:02}" for number in range(16)]
"""The request ids of the calls, twenty minutes apart, the newest first."""


class Many(NamedTuple):
    """The key that made all calls."""

    key: VirtualKey
    secret: str


@pytest.fixture(scope="module")
def many(django_db_setup: None, django_db_blocker: Any) -> Iterator[Many]:
    with django_db_blocker.unblock(), transaction.atomic():
        key, secret = VirtualKey.objects.issue(name="ann", user_id="ann", team_id="blue")
        store(*(at(place * TWENTY_MINUTES, request_id=name, key_id=key.pk) for place, name in enumerate(IDS)))
        yield Many(key, secret)
        transaction.set_rollback(True)


pytestmark = [pytest.mark.usefixtures("many"), pytest.mark.django_db]


@pytest.mark.parametrize("size", [1, 5, 16, 1000])
@pytest.mark.parametrize("order", ["desc", "asc"])
@pytest.mark.parametrize(
    "query",
    [
        {},
        {"start_date": "2026-05-01", "end_date": "2026-05-31"},
        {"api_key": True},
        {"tag": "prod"},
        {"status_filter": "success"},
        {"user_id": "ann"},
        {"api_key": True, "model": "qwen"},
    ],
)
def test_all_pages_together_are_all_rows(api: API, many: Many, size: int, order: str, query: dict[str, Any]) -> None:
    query = {**query, **({"api_key": many.secret} if "api_key" in query else {}), "sort_order": order}
    asked = {**query, "page_size": size}
    first = api.get("/spend/logs/v2", **asked)
    assert (first["total"], first["total_is_capped"], first["total_pages"]) == (16, False, -(-16 // size))
    # As the view does for each page, which needs no request of its own here.
    chosen, numbers = wanted(queries.read(queries.Page, query)), range(1, first["total_pages"] + 1)
    shown = [page_of(chosen, Asked(number, size, ascending=order == "asc")).rows for number in numbers]
    assert [row.request_id for page in shown for row in page] == (IDS if order == "desc" else IDS[::-1])
    assert [row["request_id"] for row in first["data"]] == [row.request_id for row in shown[0]]
    assert api.ids(**asked, page=len(shown)) == [row.request_id for row in shown[-1]]
    assert api.ids(**asked, page=len(shown) + 1) == []


@pytest.mark.parametrize("order", ["desc", "asc"])
def test_cursors_lead_through_all_rows(api: API, order: str) -> None:
    found, cursor = [], None
    for _ in range(4):
        page = api.get("/spend/logs/v2", page_size=5, sort_order=order, **({"cursor": cursor} if cursor else {}))
        found += [row["request_id"] for row in page["data"]]
        cursor = page["next_cursor"]
        assert page["has_more"] == bool(cursor)
    assert cursor is None
    assert found == (IDS if order == "desc" else IDS[::-1])


@pytest.mark.parametrize("size", [1, 4])
def test_a_range_may_begin_and_end_within_hours(api: API, size: int) -> None:
    query = {"start_date": "2026-05-20 08:45:00", "end_date": "2026-05-20 11:15:00", "page_size": size}
    first = api.get("/spend/logs/v2", **query)
    found = [one for number in range(1, first["total_pages"] + 1) for one in api.ids(**query, page=number)]
    assert (first["total"], found) == (8, IDS[4:12])


@pytest.mark.parametrize(
    ("start", "end", "total"),
    [
        ("2026-05-20 12:00:00", "2026-05-20 12:30:00", 2),
        ("2026-05-20 12:11", "2026-05-20 12:29", 0),
        ("2026-05-20T10:00:00Z", "2026-05-20", 8),
        ("2026-05-20T14:10:00+02:00", "2026-05-20", 2),
        ("2030-01-01", "2030-01-02", 0),
        ("2001-01-01", "2001-01-02", 0),
        ("0001-01-01", "9999-12-31", 16),
        ("2026-05-20 23:59:59", "9999-12-31T23:59:59", 0),
        ("8999-12-31 23:59:59", "9999-12-31", 0),
    ],
)
def test_ranges(api: API, start: str, end: str, total: int) -> None:
    found = api.get("/spend/logs/v2", start_date=start, end_date=end)
    assert (found["total"], len(found["data"])) == (total, total)


def test_rows_that_are_gone_have_no_page(api: API) -> None:
    prune(4 / 24, now=NOW)  # the roll-ups stay
    left = RequestLog.objects.count()
    first = api.get("/spend/logs/v2", page_size=5)
    assert 0 < first["total"] == left < 16
    assert sum(len(api.ids(page_size=5, page=number)) for number in range(1, 4)) == left


def test_where_no_roll_up_can_tell_the_total_is_bounded(api: API, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST_COUNTED", 10)
    found = api.get("/spend/logs/v2", user_id="ann", page_size=5)
    assert (found["total"], found["total_pages"], found["total_is_capped"], found["has_more"]) == (10, 2, True, True)
    answer = api.ask("/spend/logs/v2", user_id="ann", page_size=5, page=3)
    assert answer.status_code == 400
    assert "follow next_cursor" in answer.json()["error"]["message"]


def test_a_key_with_very_many_roll_ups_is_counted_too(api: API, many: Many, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST_SUMMED", 3)
    assert api.ids(api_key=many.secret, page_size=5, page=2) == IDS[5:10]


def test_a_deep_page_reads_no_more_rows_than_it_shows(api: API, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(6):
        api.get("/spend/logs/v2", page=4, page_size=5)
