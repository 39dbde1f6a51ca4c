import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.html import escape

from gateway.account.log_store import LogStore
from gateway.admin_pages.log_filters import LogFilterForm
from gateway.admin_pages.log_search import ids_like, known_values
from gateway.admin_pages.logs import RequestLogAdmin
from gateway.models import RequestLog
from keys.models import EndUser, Owner, Team, VirtualKey
from tests.support.admin_lists import SEES_ALL, listed
from tests.support.entries import NOON, an_entry
from tests.support.people import signed_in
from tests.support.plans import plan_of
from upstreams.models import Upstream

pytestmark = pytest.mark.django_db
LIST = "/admin/gateway/requestlog/"


@pytest.fixture
def admin() -> Client:
    return signed_in("gateway.view_requestlog")


def call(request_id: str = "req-1", at: float = NOON, **fields: object) -> RequestLog:
    entry = an_entry(at=at, request_id=request_id, **fields)
    LogStore().store([entry], pytest.fail)
    return RequestLog.objects.get(pk=UUID(entry["call_id"]))


def many(number: int) -> None:
    entries = [an_entry(at=NOON + second, request_id=f"req-{second}") for second in range(number)]
    LogStore().store(entries, pytest.fail)


def page(query: object = None):
    return listed(RequestLog, query)


def found(**query: object) -> list[str]:
    return ids_of(page(query))


def ids_of(shown) -> list[str]:
    return [row.request_id for row in shown.result_list]


def text(response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def detail(client: Client, row: RequestLog):
    return client.get(f"{LIST}{row.pk}/change/")


# --- The list -------------------------------------------------------------------------------------


def test_it_works(admin: Client) -> None:
    call(key_name="docs bot")
    told = text(admin.get(LIST))
    for words in ("200 answered", "docs bot", "qwen", "gpu-1", "/v1/chat/completions", "3 → 5", "200 ms", "1.00 s"):
        assert words in told


def test_newest_come_first() -> None:
    call("early")
    call("late", NOON + 1)
    assert found() == ["late", "early"]


def test_the_log_is_for_who_may_see_it() -> None:
    nosy = signed_in("keys.view_virtualkey")
    assert nosy.get(LIST).status_code == detail(nosy, call()).status_code == 403


@pytest.mark.parametrize("verb", ["add", "delete"])
def test_nobody_writes_the_log(verb: str) -> None:
    row, superuser = call(), signed_in()
    page = f"{LIST}add/" if verb == "add" else f"{LIST}{row.pk}/delete/"
    assert superuser.post(page, {"post": "yes"}).status_code == 403
    assert superuser.post(f"{LIST}{row.pk}/change/", {"request_id": "x"}).status_code == 403
    assert RequestLog.objects.get().request_id == "req-1"


def test_no_page_counts_the_rows(admin: Client) -> None:
    many(3)
    with CaptureQueriesContext(connection) as captured:
        admin.get(LIST)
    assert not [query["sql"] for query in captured if "COUNT(" in query["sql"] and "requestlog" in query["sql"]]


def test_pages_lead_to_older_and_back(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RequestLogAdmin, "list_per_page", 2)
    many(5)
    first = page()
    second = page(first.older_url)
    third = page(second.older_url)
    back = page(third.newer_url)
    pages = [ids_of(one) for one in (first, second, third, back)]
    assert pages == [["req-4", "req-3"], ["req-2", "req-1"], ["req-0"], ["req-2", "req-1"]]
    assert not third.older_url
    assert ids_of(page(back.newer_url)) == pages[0]
    assert ids_of(page(third.newest_url)) == pages[0]
    written = admin.get(LIST + second.older_url)
    assert ids_of(written.context["cl"]) == pages[2]
    assert all(f'href="{escape(url)}"' in written.content.decode() for url in (third.newer_url, third.newest_url))


def test_the_newest_page_has_nothing_newer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RequestLogAdmin, "list_per_page", 2)
    many(4)
    newest = page(page(page().older_url).newer_url)
    assert not newest.newer_url


def test_pages_keep_the_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RequestLogAdmin, "list_per_page", 1)
    call("one", NOON, model="a")
    call("two", NOON + 1, model="a")
    call("three", NOON + 2, model="b")
    first = page({"model": "a"})
    assert (ids_of(first), ids_of(page(first.older_url))) == (["two"], ["one"])


def test_an_empty_log_says_so(admin: Client) -> None:
    assert "No call yet" in text(admin.get(LIST))


def test_a_filter_without_a_find_says_so(admin: Client) -> None:
    call()
    assert "No call matches" in text(admin.get(LIST, {"model": "nobody"}))


@pytest.mark.parametrize("query", ["o=1", "p=7", "all=", "before=x", "user_agent__contains=a", "key=x", "upstream=9x"])
def test_what_the_log_does_not_know_reads_no_whole_table(admin: Client, query: str) -> None:
    call()
    with CaptureQueriesContext(connection) as captured:
        assert admin.get(f"{LIST}?{query}").status_code == 200
    assert not any("user_agent" in query["sql"].partition("WHERE")[2] for query in captured)


# --- Filters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "field", "value"),
    [
        ({"key": "9"}, "key_id", 9),
        ({"key": "none"}, "key_id", None),
        ({"model": "llama"}, "model", "llama"),
        ({"upstream": "9"}, "upstream_id", 9),
        ({"upstream": "none"}, "upstream_id", None),
        ({"status": "4"}, "status", 404),
        ({"status": "5"}, "status", 502),
        ({"status": "none"}, "status", None),
        ({"outcome": "refused"}, "outcome", "refused"),
        ({"team": "research"}, "team_id", "research"),
        ({"user": "ada"}, "user_id", "ada"),
        ({"end_user": "eve"}, "end_user", "eve"),
    ],
)
def test_the_log_can_be_narrowed(query: dict[str, str], field: str, value: object) -> None:
    call("other")
    call("wanted", NOON + 1, **{field: value})
    assert found(**query) == ["wanted"]


@pytest.mark.parametrize(
    ("query", "index"),
    [("team", "request_log_team"), ("user", "request_log_user"), ("end_user", "request_log_end_user")],
)
def test_a_page_of_one_partys_calls_is_a_range_of_an_index(query: str, index: str) -> None:
    [rows] = LogFilterForm({query: "x"}, user=SEES_ALL).branches(RequestLog.objects.all())
    if connection.vendor == "postgresql":  # which would rather sort a few rows
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_sort = off")
    plan = plan_of(rows.newest_first()[:51])
    assert index in plan
    assert not any(word in plan for word in ("TEMP B-TREE", "Sort"))


@pytest.mark.parametrize("value", ["\0", "x" * 300, "'", "%"])
def test_an_odd_filter_is_no_failure(admin: Client, value: str) -> None:
    names = ("team", "user", "end_user")
    for name in names:
        assert found(**{name: value}) == []
    assert admin.get(LIST, dict.fromkeys(names, value)).status_code == 200


def test_the_filters_suggest_who_there_is(admin: Client) -> None:
    Team(team_id="research", alias="Research").save()
    EndUser(end_user_id="eve").save()
    html = admin.get(LIST).content.decode()
    assert '<option value="research">Research</option>' in html
    assert '<option value="eve"></option>' in html


def test_a_class_of_statuses_is_in_order() -> None:
    for second, status in enumerate((404, 500, 400, 404)):
        call(f"{second}", NOON + second, status=status)
    assert found(status="4") == ["3", "2", "0"]


def test_filters_work_together() -> None:
    call("model only", model="llama")
    call("both", NOON + 1, model="llama", status=500)
    assert found(model="llama", status="5") == ["both"]


def test_the_log_can_be_narrowed_to_the_last_hour() -> None:
    call("old")
    call("new", timezone.now().timestamp() - 60)
    assert found(period="1h") == ["new"]


def test_the_log_can_be_narrowed_to_a_range() -> None:
    for minute in range(3):
        call(f"{minute}", NOON + 60 * minute)
    start = datetime.fromtimestamp(NOON, tz=UTC) + timedelta(minutes=1)
    since, until = (f"{at:%Y-%m-%dT%H:%M}" for at in (start, start + timedelta(minutes=1)))
    assert found(since=since, until=until) == ["1"]


def test_a_range_is_read_in_utc_and_can_be_entered_in_another_zone_by_a_script(admin: Client) -> None:
    html = admin.get(LIST).content.decode()
    assert html.count('data-utc="true"') == 2
    assert html.count("(UTC)</label>") == 2


def test_a_time_that_is_none_is_told_and_not_applied(admin: Client) -> None:
    call()
    response = admin.get(LIST, {"since": "yesterday"})
    assert "Enter a valid date/time." in text(response)
    assert ids_of(response.context["cl"]) == ["req-1"]


@pytest.mark.parametrize("length", [36, 32, 12, 4])
def test_a_call_is_found_by_its_call_id_or_its_beginning(length: int) -> None:
    row = call()
    shown = str(row.pk) if length == 36 else row.pk.hex[:length]
    assert found(q=shown) == ["req-1"]


@pytest.mark.parametrize("words", ["req-abc-1", "req-abc", " req-abc "])
def test_a_call_is_found_by_its_request_id_or_its_beginning(words: str) -> None:
    call("req-abc-1")
    call("req-xyz-1", NOON + 1)
    assert found(q=words) == ["req-abc-1"]


def test_a_request_id_is_no_pattern() -> None:
    call("req-abc")
    assert not ids_like("req%")
    assert not ids_like("req_abc")


def test_ids_that_nobody_has_find_nothing() -> None:
    call()
    assert not ids_like("0f0f0f")


def test_known_values_are_each_value_once() -> None:
    for second, model in enumerate(("b", "a", "b", None)):
        call(f"{second}", NOON + second, model=model)
    assert known_values("model", 10) == ["a", "b"]
    assert known_values("model", 1) == ["a"]


def test_an_empty_log_knows_no_values() -> None:
    assert known_values("status", 10) == []


def test_the_filters_offer_keys_upstreams_and_models(admin: Client) -> None:
    VirtualKey.objects.issue(name="docs bot")
    Upstream(name="gpu-7", url="http://gpu-7").save()
    call(model="llama-3")
    html = admin.get(LIST).content.decode()
    for offered in (">docs bot</option>", ">gpu-7</option>", '<option value="llama-3">'):
        assert offered in html


def test_a_deleted_key_can_still_be_chosen_by_a_link(admin: Client) -> None:
    call(key_id=77, key_name=None)
    assert '<option value="77" selected>key 77</option>' in admin.get(LIST, {"key": "77"}).content.decode()


# --- One call -------------------------------------------------------------------------------------


def test_the_timeline_is_drawn_to_scale(admin: Client) -> None:
    drawn = detail(admin, call()).context["bars"]
    assert [(bar.kind, bar.x, bar.width, length) for bar, length, _ in drawn] == [
        ("upstream-head", 0.0, 100.0, "100 ms"),
        ("first-token", 100.0, 100.0, "100 ms"),
        ("end", 200.0, 800.0, "800 ms"),
    ]


def test_a_lost_call_has_no_timeline_and_a_reason(admin: Client) -> None:
    row = call(outcome="lost", status=None, head_at=None, first_token_at=None, ended_at=None, usage_source="unknown")
    told = text(detail(admin, row))
    assert "The end of this call is not known" in told
    assert "The gateway was killed" in told


def test_tokens_come_with_their_source(admin: Client) -> None:
    assert "as the upstream reported them" in text(detail(admin, call()))
    estimated = call("2", NOON + 1, usage_source="estimated")
    assert "estimated from the chunks" in text(detail(admin, estimated))
    assert "≈ 3 → 5" in text(admin.get(LIST))


def test_an_error_comes_with_who_can_mend_it(admin: Client) -> None:
    row = call(status=429, outcome="refused", error_type="throttling_error", error_text="Rate limit exceeded")
    told = text(detail(admin, row))
    assert "throttling_error Rate limit exceeded" in told
    assert "Who can mend it: the caller" in told


def test_a_call_leads_to_those_of_its_route_and_with_its_type_of_error(admin: Client) -> None:
    html = detail(admin, call(route="/v1/embeddings", error_type="http_418", error_text=None)).content.decode()
    assert f'href="{LIST}?route=%2Fv1%2Fembeddings">all calls</a>' in html
    assert f'href="{LIST}?error_type=http_418" title="All calls with this type of error">http_418</a>' in html


def test_what_a_client_sent_is_escaped(admin: Client) -> None:
    row = call("<b>x</b>", user_agent="<script>alert(1)</script>", error_text="<img src=x>")
    for response in (detail(admin, row), admin.get(LIST)):
        html = response.content.decode()
        assert "<script>alert" not in html
        assert "<img src=x>" not in html
        assert "<b>x" not in html


def test_a_call_leads_to_its_key_and_upstream_while_they_exist() -> None:
    key, _ = VirtualKey.objects.issue(name="docs bot")
    upstream = Upstream(name="gpu-1", url="http://gpu-1")
    upstream.save()
    html = detail(signed_in(), call(key_id=key.pk, upstream_id=upstream.pk)).content.decode()
    assert f"/admin/keys/virtualkey/{key.pk}/change/" in html
    assert f"/admin/upstreams/upstream/{upstream.pk}/change/" in html


def test_a_call_leads_to_its_team_owner_and_end_user() -> None:
    team, owner, person = Team(team_id="t", alias="Research"), Owner(user_id="ann"), EndUser(end_user_id="bob")
    for row in (team, owner, person):
        row.save()
    html = detail(signed_in(), call(team_id="t")).content.decode()
    for row in (team, owner, person):
        assert f"/admin/keys/{row._meta.model_name}/{row.pk}/change/" in html
    assert "Research (t)" in html
    assert f"{LIST}?team=t" in html


def test_whom_one_may_not_see_is_only_named(admin: Client) -> None:
    Team(team_id="t", alias="Research").save()
    response = detail(admin, call(team_id="t"))
    assert "Team Research (t)" in text(response)
    assert "/admin/keys/" not in response.content.decode()


def test_a_call_tells_its_cost_and_what_it_went_over(admin: Client) -> None:
    told = text(detail(admin, call(cost="0.0012", shadowed=["rpm_limit", "soft_budget"])))
    assert "$0.0012" in told
    assert "In shadow This call went over what is only reported: Calls a minute, Soft budget." in told


def test_a_refusal_by_a_limit_leads_to_whose_it_was() -> None:
    team = Team(team_id="t", alias="Research")
    team.save()
    row = call(
        team_id="t",
        status=429,
        outcome="refused",
        error_type="throttling_error",
        error_text="Rate limit exceeded for team: Research. Limit type: requests. Current limit: 1, Remaining: 0.",
    )
    response = detail(signed_in(), row)
    assert "The team has made as many calls as it may in a minute" in text(response)
    page = f"/admin/keys/team/{team.pk}/change/"
    assert f'<a class="button-quiet" href="{page}">Open the team</a>' in response.content.decode()


def test_a_call_of_a_deleted_key_says_so(admin: Client) -> None:
    assert "dev (deleted)" in text(detail(admin, call()))


def test_a_call_that_is_gone_leads_away(admin: Client) -> None:
    assert admin.get(f"{LIST}no-uuid/change/").status_code == 302
