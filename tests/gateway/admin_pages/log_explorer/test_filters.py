"""Which calls are found: by filters, words and ids."""

from __future__ import annotations

import re
import time

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from gateway.account.log_store import LogStore
from gateway.admin_pages import log_key_filter
from gateway.admin_pages.log_choices import error_types, known_routes, route_of
from gateway.admin_pages.log_filters import LogFilterForm
from gateway.admin_pages.log_search import ids_like, known_facets, known_values, names_like
from gateway.admin_pages.logs import RequestLogAdmin
from gateway.models import RelayReport, RequestFacet, RequestLog, UnlistedCalls
from gateway.routes import ROUTES
from keys.models import VirtualKey
from tests.gateway.admin_pages.log_explorer.page import LIST, calls, found, text
from tests.support.admin_lists import SEES_ALL, listed
from tests.support.entries import an_entry
from tests.support.people import signed_in
from tests.support.plans import plan_of
from tests.test_error_shape import every_class

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({"endpoint_class": "server_control"}, {"endpoint_class": "server_control"}),
        ({"streaming": "no"}, {"streaming": False}),
        ({"error_type": "throttling_error"}, {"error_type": "throttling_error", "status": 429}),
        ({"error_type": "Method Not Allowed"}, {"error_type": "Method Not Allowed"}),
        ({"route": "/v1/embeddings"}, {"route": "/v1/embeddings"}),
        ({"route": "/v1/fine_tuning/jobs"}, {"route": "/v1/fine_tuning/jobs"}),
        ({"tag": "night"}, {"tags": ["prod", "night"]}),
        ({"shadowed": "any"}, {"shadowed": ["rpm_limit"]}),
        ({"shadowed": "rpm_limit"}, {"shadowed": ["rpm_limit", "tpm_limit"]}),
        ({"ended": "refused"}, {"outcome": "refused", "status": 429}),
        ({"ended": "failed"}, {"outcome": "upstream_failed", "status": 502}),
        ({"ended": "failed"}, {"outcome": "completed", "status": 404}),
        ({"ended": "failed"}, {"outcome": "client_disconnected", "status": 500}),
        ({"ended": "cut"}, {"outcome": "revoked", "status": 200}),
        ({"ended": "cut"}, {"outcome": "drained", "status": 503}),
        ({"ended": "trouble"}, {"outcome": "completed", "status": 404}),
        ({"q": "night-"}, {"key_name": "night-batch"}),
        ({"q": "grace"}, {"end_user": "grace@example.com"}),
    ],
)
def test_the_log_can_be_narrowed_by(query: dict[str, str], fields: dict[str, object]) -> None:
    calls({}, {**fields, "request_id": "wanted"}, {})
    assert found(**query) == ["wanted"]


def test_trouble_is_all_that_did_not_end_well() -> None:
    outcomes = ("refused", "upstream_failed", "gateway_failed", "lost", "revoked", "drained")
    calls(*({"outcome": outcome, "status": None} for outcome in outcomes), {"status": 400}, {"status": 200})
    assert len(found(ended="trouble")) == len(outcomes) + 1


def test_what_is_searched_for_is_found_in_every_place_once() -> None:
    calls(
        {"request_id": "abc-1"}, {"key_name": "abc"}, {"end_user": "abcd"}, {"key_name": "abc", "end_user": "abc"}, {}
    )
    assert found(q="abc") == ["req-3", "req-2", "req-1", "abc-1"]


def test_filters_that_allow_several_values_work_together() -> None:
    calls({"key_name": "abc", "status": 404}, {"key_name": "abc"}, {"status": 404})
    assert found(q="abc", status="4", ended="trouble") == ["req-0"]


@pytest.mark.parametrize("odd", ["%", "_", "'", "\U0010ffff", "é"])
def test_a_search_takes_every_character_as_it_is(odd: str) -> None:
    calls({"key_name": f"{odd}x"}, {"key_name": "ax"})
    assert found(q=odd) == ["req-0"]


def test_a_search_that_finds_too_much_says_so(admin: Client) -> None:
    calls(*({"key_name": f"bot {number:02}"} for number in range(21)))
    response = admin.get(LIST, {"q": "bot"})
    assert "Type more of it" in text(response)
    assert len(response.context["cl"].result_list) == 20


@pytest.mark.parametrize("column", ["key_name", "end_user"])
def test_names_that_begin_alike_are_found_each_once(column: str) -> None:
    calls(*({column: name} for name in ("b1", "b2", "b1", "a", "c", "B3")))
    assert names_like(column, "b", 10) == ["b1", "b2"]
    assert names_like(column, "b", 1) == ["b1"]


def test_known_tags_are_suggested(admin: Client) -> None:
    calls({"tags": ["b", "a"]}, {"tags": ["a"]})
    assert known_facets("tag", 10) == ["a", "b"]
    assert '<option value="b">' in admin.get(LIST).content.decode()


def test_a_filter_that_is_set_can_be_taken_away_alone(admin: Client) -> None:
    calls({})
    response = admin.get(LIST, {"model": "qwen", "status": "2", "before": "ff" * 16})
    assert [(chip.label, chip.value, chip.without) for chip in response.context["cl"].chips] == [
        ("Model", "qwen", "?status=2"),
        ("Status", "2xx", "?model=qwen"),
    ]
    response = admin.get(LIST, {"route": "embeddings", "error_type": "e", "q": "r"})
    assert [(chip.label, chip.value, chip.without) for chip in response.context["cl"].chips] == [
        ("Begins with", "r", "?route=embeddings&error_type=e"),
        ("Route", "/v1/embeddings", "?error_type=e&q=r"),
        ("Error type", "e", "?route=embeddings&q=r"),
    ]


def test_the_last_errors_of_a_key_lead_to_all_of_their_type() -> None:
    key, _ = VirtualKey.objects.issue(name="docs bot")
    failed = an_entry(at=time.time(), key_id=key.pk, status=429, outcome="refused", error_type="throttling_error")
    LogStore().store([failed], pytest.fail)
    page = signed_in().get(f"/admin/keys/virtualkey/{key.pk}/change/").content.decode()
    assert f'href="{LIST}?key={key.pk}&amp;error_type=throttling_error"' in page


def test_links_leave_out_what_is_not_set(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RequestLogAdmin, "list_per_page", 1)
    calls({}, {})
    page = admin.get(LIST, {"q": "", "model": "qwen", "route": "", "status": "2"}).context["cl"]
    assert page.query == "?model=qwen&status=2"
    assert page.older_url == f"?model=qwen&status=2&before={page.result_list[0].pk.hex}"
    assert page.chips[0].without == "?status=2"


def test_where_no_call_matches_each_filter_can_be_left_out(admin: Client) -> None:
    calls({"model": "a", "status": 404})
    html = admin.get(LIST, {"model": "a", "status": "429"}).content.decode()
    told = html.partition("No call matches")[2]
    assert 'href="?status=429"' in told
    assert 'href="?model=a"' in told
    assert "Calls are kept for 90 days" in told
    assert "Choose another value above" in admin.get(LIST, {"model": "b", "before": "0" * 32}).content.decode()
    assert "There is none this far back" in admin.get(LIST, {"model": "a", "before": "0" * 32}).content.decode()


def test_how_many_of_the_further_filters_are_set_is_told(admin: Client) -> None:
    assert "More filters (2 set)" in text(admin.get(LIST, {"tag": "t", "user": "u", "model": "m"}))
    assert "set)" not in text(admin.get(LIST, {"model": "m"}))


def test_the_filter_of_a_key_that_is_gone_tells_its_name() -> None:
    calls({"key_id": 99, "key_name": "old"}, {"key_id": 99, "key_name": "new", "team_id": "red"})

    def chip(client: Client, key: str) -> str:
        return client.get(LIST, {"key": key}).context["cl"].chips[0].value

    assert chip(signed_in("gateway.view_requestlog"), "99") == "new"
    assert chip(signed_in("gateway.view_requestlog", name="eve", teams=["blue"]), "99") == "key 99"
    assert chip(signed_in("gateway.view_requestlog", name="bob"), "98") == "key 98"


def test_of_many_keys_any_can_be_typed(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_key_filter, "MOST_CHOICES", 2)
    keys = [VirtualKey.objects.issue(name=name)[0] for name in ("snip", "a", "b")]
    calls({"key_id": keys[0].pk}, {"key_id": keys[1].pk}, {"key_id": None})
    html = admin.get(LIST).content.decode()
    assert '<select name="key"' not in html
    assert re.search(r'<input[^>]* name="key"[^>]* list="filter_key_known"', html)
    assert f'<option value="b">key {keys[2].pk}</option>' in html
    for asked, rows in (("snip", ["req-0"]), (str(keys[0].pk), ["req-0"]), ("none", ["req-2"])):
        assert found(key=asked) == rows
    page = admin.get(LIST, {"key": keys[0].pk})
    assert page.context["cl"].chips[0].value == "snip"
    assert re.search(r'<input[^>]* name="key" value="snip"', page.content.decode())
    assert "There is no key of this name" in admin.get(LIST, {"key": "sni"}).content.decode()


def test_who_sees_a_team_finds_no_key_of_another_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_key_filter, "MOST_CHOICES", 0)
    for team in ("red", "blue"):
        VirtualKey.objects.issue(name=f"of {team}", team_id=team)
    eve = signed_in("gateway.view_requestlog", name="eve", teams=["blue"])
    html = eve.get(LIST, {"key": "of red"}).content.decode()
    assert "There is no key of this name" in html
    assert '<option value="of red">' not in html
    assert "There is no key of this name" not in eve.get(LIST, {"key": "of blue"}).content.decode()


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ("v1/embeddings", "/v1/embeddings"),
        ("/embeddings/", "/v1/embeddings"),
        (" /vllm/v1/Embeddings", "/v1/embeddings"),
        ("/v1/responses/resp_1/cancel", "/v1/responses/{id}/cancel"),
        ("/vllmore", "/vllmore"),
        ("/" + "x" * 300, "/" + "x" * 99),
    ],
)
def test_a_route_is_found_however_it_is_written(text: str, route: str) -> None:
    assert route_of(text) == route


def test_each_route_that_is_offered_is_one_of_the_log() -> None:
    offered = [route for route, _ in known_routes()]
    assert set(offered) == {route.template for route in ROUTES}
    assert [route_of(route) for route in offered] == offered


def test_the_filters_offer_routes_and_types_of_errors_with_what_they_mean(admin: Client) -> None:
    html = admin.get(LIST).content.decode()
    assert '<option value="/v1/embeddings">inference</option>' in html
    assert '<option value="throttling_error">limit reached</option>' in html


def test_each_type_of_error_that_the_gateway_gives_a_call_is_offered() -> None:
    of_the_apis_alone = {"bad_request_error", "key_info_access_denied", "management_key_access_denied"}
    never_logged = {"token_not_found_in_db", "control_plane_away", "control_plane_busy"}
    ours = {error_class.type for error_class in every_class()}
    assert ours - of_the_apis_alone - never_logged <= {name for name, _ in error_types(sees_all=False)}


def test_types_that_upstreams_sent_are_offered_to_who_sees_every_team() -> None:
    calls({"error_type": "OddError"}, {"error_type": "throttling_error"}, {})
    assert error_types(sees_all=True)[:2] == [("OddError", ""), ("throttling_error", "limit reached")]
    assert "OddError" not in dict(error_types(sees_all=False))


@pytest.mark.parametrize(
    ("status", "rows"), [("429", ["req-0"]), ("418", ["req-2"]), ("4", ["req-2", "req-1", "req-0"])]
)
def test_one_status_is_found_beside_its_class(admin: Client, status: str, rows: list[str]) -> None:
    calls({"status": 429}, {"status": 404}, {"status": 418})
    assert found(status=status) == rows
    assert f'<option value="{status}" selected>' in admin.get(LIST, {"status": status}).content.decode()


def test_a_facet_and_all_other_filters_work_together() -> None:
    calls({"tags": ["t"], "shadowed": ["rpm_limit"], "status": 404}, {"tags": ["t"]}, {"shadowed": ["rpm_limit"]}, {})
    query = {"tag": "t", "shadowed": "any", "ended": "trouble", "status": "4", "since": "2026-05-04T12:30"}
    assert found(**query) == ["req-0"]
    assert found(**query, until="2026-05-04T12:30") == []


def test_pages_of_a_facet_lead_to_older_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RequestLogAdmin, "list_per_page", 2)
    calls(*({"tags": ["t"]} for _ in range(5)))
    first = listed(RequestLog, {"tag": "t", "since": "2026-05-04T12:30"})
    older = listed(RequestLog, first.older_url)
    back = listed(RequestLog, older.newer_url)
    pages = [[row.request_id for row in page.result_list] for page in (first, older, back)]
    assert pages == [["req-4", "req-3"], ["req-2", "req-1"], ["req-4", "req-3"]]


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ({"endpoint_class": "monitoring"}, "request_log_class"),
        ({"streaming": "no"}, "request_log_streaming"),
        ({"error_type": "e1"}, "request_log_error_type"),
        ({"route": "/r1"}, "request_log_route"),
        ({"tag": "t1"}, "gateway_requestfacet"),
        ({"shadowed": "any"}, "gateway_requestfacet"),
    ],
)
def test_a_page_of_a_facet_is_a_range_of_an_index(query: dict[str, str], index: str) -> None:
    [rows] = LogFilterForm(query, user=SEES_ALL).branches(RequestLog.objects.all())
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # which would rather read and sort a few rows
            cursor.execute("SET LOCAL enable_sort = off")
            cursor.execute("SET LOCAL enable_seqscan = off")
            if "facet" not in index:  # or would pick the rows out of all, where it takes half of them to match
                cursor.execute("ALTER TABLE gateway_requestlog DROP CONSTRAINT gateway_requestlog_pkey CASCADE")
    plan = plan_of(rows.newest_first()[:51])
    assert index in plan
    assert not any(word in plan for word in ("TEMP B-TREE", "Sort", "SCAN gateway_requestlog\n", "Seq Scan"))


@pytest.mark.parametrize(
    ("column", "index"), [("error_type", "request_log_error_type"), ("model", "request_log_model")]
)
def test_known_values_are_steps_along_an_index(column: str, index: str) -> None:
    plan_of(RequestLog.objects.all())  # makes many calls, where the plan depends on it
    explain = "EXPLAIN ANALYZE" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"  # all of the plan
    with connection.cursor() as cursor, CaptureQueriesContext(connection) as asked:
        known_values(column, 10)
        [statement] = [query["sql"] for query in asked]
        cursor.execute(f"{explain} {statement}")
        plan = str(cursor.fetchall())
    assert plan.count(index) == 2
    assert not any(f"{word} gateway_requestlog" in plan for word in ("SCAN", "Seq Scan on"))


def test_what_an_upstream_answered_with_an_error_is_a_range_of_an_index() -> None:
    branches = LogFilterForm({"ended": "failed"}, user=SEES_ALL).branches(RequestLog.objects.all())
    if connection.vendor == "postgresql":  # which would rather read and sort a few rows
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_sort = off")
    plan = plan_of(branches[-1].rows.newest_first()[:51])
    assert "request_log_error_answers" in plan
    assert not any(word in plan for word in ("TEMP B-TREE", "Sort", "Seq Scan"))


def test_request_ids_that_begin_alike_are_a_range_of_an_index() -> None:
    with connection.cursor() as cursor, CaptureQueriesContext(connection) as asked:
        if connection.vendor == "postgresql":  # which would rather read and sort a few rows
            cursor.execute("SET LOCAL enable_sort = off")
            cursor.execute("SET LOCAL enable_seqscan = off")
        assert not ids_like("req-")
        [statement] = [query["sql"] for query in asked if "LIMIT" in query["sql"]]
        cursor.execute(f"{'EXPLAIN' if connection.vendor == 'postgresql' else 'EXPLAIN QUERY PLAN'} {statement}")
        plan = str(cursor.fetchall())
    assert "request_log_request" in plan
    assert not any(word in plan for word in ("TEMP B-TREE", "Sort", "Seq Scan"))


def test_facets_are_kept_once_however_often_a_call_comes() -> None:
    entry = an_entry(tags=["a", "a"], shadowed=["rpm_limit"])
    for _ in range(2):
        LogStore().store([entry], pytest.fail)
    kept = RequestFacet.objects.values_list("kind", "value").order_by("kind", "value")
    assert list(kept) == [("shadowed", ""), ("shadowed", "rpm_limit"), ("tag", "a")]


def test_calls_without_a_known_key_are_told_beside_the_list() -> None:
    now = int(time.time())
    UnlistedCalls.objects.add({(now, "unknown"): 1200, (now, "no_key"): 3, (now - 2 * 86_400, "no_key"): 9})
    caller = {"address": "192.0.2.7", "digest": "1a2b3c4d", "agent": "<b>curl</b>"}
    facts = {"unlisted": [{**caller, "reason": "unknown", "calls": 1200, "at": now - 240}]}
    RelayReport.objects.replace(node="n", worker="1", keys_version=1, facts=facts)
    page = signed_in().get(LIST)
    told = text(page)
    assert "1,203 calls of the last 24 hours are not listed" in told
    assert "1,200 with a key that is not known, 3 without a key." in told
    assert "192.0.2.7 with a key that is not known 1a2b3c4d 1,200 &lt;b&gt;curl" in told
    assert "not listed" not in text(signed_in("gateway.view_requestlog", name="eve", teams=["red"]).get(LIST))


def test_nothing_is_said_where_every_call_is_listed(admin: Client) -> None:
    assert "not listed" not in text(admin.get(LIST))


def test_keys_of_the_playground_are_no_choice_but_by_a_link(admin: Client) -> None:
    key, _ = VirtualKey.objects.issue(name="playground of ada 12345678")
    assert "playground of" not in admin.get(LIST).content.decode()
    chosen = f'<option value="{key.pk}" selected>playground of ada 12345678</option>'
    assert chosen in admin.get(LIST, {"key": key.pk}).content.decode()
