"""Calls as a file."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from gateway.admin_pages.log_export import COLUMNS, rows_of
from gateway.admin_pages.log_filters import LogFilterForm
from gateway.models import RequestLog
from tests.gateway.admin_pages.log_explorer.page import LIST, calls, sent
from tests.support.admin_lists import SEES_ALL

pytestmark = pytest.mark.django_db


def test_the_filtered_rows_can_be_had_as_csv(admin: Client) -> None:
    calls({"model": "a"}, {"model": "b"}, {"model": "a", "tags": ["x", "y"], "cost": "0.5"})
    response = admin.get(f"{LIST}export.csv", {"model": "a"})
    rows = list(csv.DictReader(io.StringIO(sent(response))))
    assert [row["request_id"] for row in rows] == ["req-2", "req-0"]
    assert (rows[0]["tags"], rows[0]["cost"][:3], rows[0]["streaming"]) == ("x, y", "0.5", "true")
    assert rows[0]["received_at"] == "2026-05-04T12:30:02.000Z"
    assert re.search(r'filename="request-logs-\d{8}-\d{6}\.csv"', response["Content-Disposition"])


def test_rows_of_a_route_and_a_type_of_error_can_be_had(admin: Client) -> None:
    wanted = {"route": "/v1/embeddings", "error_type": "e"}
    calls(wanted, {"route": "/v1/embeddings"}, {"error_type": "e"}, wanted)
    rows = sent(admin.get(f"{LIST}export.ndjson", {"route": "embeddings", "error_type": "e"})).splitlines()
    assert [json.loads(row)["request_id"] for row in rows] == ["req-3", "req-0"]


def test_the_filtered_rows_can_be_had_as_ndjson(admin: Client) -> None:
    calls({}, {"tags": ["=x"]})
    rows = [json.loads(line) for line in sent(admin.get(f"{LIST}export.ndjson")).splitlines()]
    assert [row["request_id"] for row in rows] == ["req-1", "req-0"]
    assert set(rows[0]) == set(COLUMNS)
    assert rows[0]["tags"] == ["=x"]


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", " =1"])
def test_what_a_caller_sent_is_no_formula(admin: Client, formula: str) -> None:
    calls({"tags": [formula], "end_user": formula, "user_agent": formula})
    row = next(csv.DictReader(io.StringIO(sent(admin.get(f"{LIST}export.csv")), newline="")))
    assert row["tags"] == row["end_user"] == row["user_agent"] == f"'{formula}"


@pytest.mark.parametrize(("form", "lines"), [("csv", 1), ("ndjson", 0)])
def test_an_export_of_nothing_is_whole(admin: Client, form: str, lines: int) -> None:
    assert len(sent(admin.get(f"{LIST}export.{form}")).splitlines()) == lines


@pytest.mark.parametrize(
    ("query", "words"), [({"status": "4xx"}, "Status: "), ({"model": "a", "since": "foo"}, "From (UTC): ")]
)
def test_no_export_drops_a_filter_that_it_cannot_understand(admin: Client, query: dict[str, str], words: str) -> None:
    calls({"model": "a"}, {"model": "b"})
    response = admin.get(f"{LIST}export.csv", query)
    assert response.status_code == 400
    assert response.content.decode().startswith(words)
    html = admin.get(LIST, query).content.decode()
    assert "export.csv" not in html
    assert "A filter above could not be understood" in html


def test_an_export_holds_a_few_rows_at_a_time() -> None:
    calls(*({"outcome": outcome} for outcome in ("refused", "lost", "refused", "completed", "refused")))
    branches = LogFilterForm({"ended": "trouble"}, user=SEES_ALL).branches(RequestLog.objects.all())
    with CaptureQueriesContext(connection) as captured:
        parts = [[row[1] for row in part] for part in rows_of(branches, size=2)]
    assert parts == [["req-4", "req-2"], ["req-1", "req-0"], []]
    assert all("LIMIT 2" in query["sql"] for query in captured)


def test_there_is_no_other_form(admin: Client) -> None:
    assert admin.get(f"{LIST}export.xlsx").status_code == 404
    assert admin.post(f"{LIST}export.csv").status_code == 405
