"""Tests of GET /key/list and /key/aliases; what they find among several keys is in test_key_search.py."""

from datetime import timedelta

import pytest

from keys import crypto
from keys.models import VirtualKey
from tests.keys.conftest import issued

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.keys.urls")]


def test_list_shows_digests_newest_first(api):
    made = [issued() for _ in range(3)]
    body = api.get("list?size=2").json()
    assert body == {
        "keys": [made[2]["token"], made[1]["token"]],
        "total_count": 3,
        "current_page": 1,
        "total_pages": 2,
    }
    assert api.get("list?size=2&page=2").json()["keys"] == [made[0]["token"]]


@pytest.mark.parametrize("search", ["", "&search=k", "&key_alias=K&substring_matching=true"])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_every_page_is_there_once(api, search, order):
    made = [issued(f"k{number}")["token"] for number in range(7)]
    pages = [api.get(f"list?size=3&page={page}&sort_order={order}{search}").json() for page in (1, 2, 3, 4)]
    assert [page["total_count"] for page in pages] == [7] * 4
    listed = [token for page in pages for token in page["keys"]]
    assert listed == (made if order == "asc" else made[::-1])


def test_an_empty_list_has_no_page(api):
    assert api.get("list").json() == {"keys": [], "total_count": 0, "current_page": 1, "total_pages": 0}


def test_list_can_show_whole_rows(api):
    made = api.generate(key_alias="a")
    (row,) = api.get("list?return_full_object=true").json()["keys"]
    assert (row["token"], row["key_alias"]) == (made["token"], "a")
    assert "key" not in row


def test_a_page_costs_the_same_queries_however_many_keys(api, django_assert_max_num_queries):
    for _ in range(5):
        issued()
    with django_assert_max_num_queries(5):
        api.get("list?return_full_object=true")


def test_list_filters_and_sorts(api):
    ann, bob = issued("z", user_id="ann"), issued("a", user_id="bob")
    for query in ("user_id=ann", "key_alias=z", f"key_hash={ann['token']}"):
        assert api.get(f"list?{query}").json()["keys"] == [ann["token"]]
    sorted_by_name = api.get("list?sort_by=key_alias&sort_order=asc").json()["keys"]
    assert sorted_by_name == [bob["token"], ann["token"]]


def test_a_rotated_key_is_listed_once(api):
    made = issued()
    new = VirtualKey.objects.get().rotate(timedelta(hours=1))
    assert api.get("list").json()["keys"] == [crypto.digest(new)]
    assert api.get(f"list?key_hash={made['token']}").json()["total_count"] == 1


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("size=101", 422),
        ("page=0", 422),
        ("page=99999999999999999999", 422),
        ("page=x", 422),
        ("sort_by=version", 400),
        ("status=new", 400),
        ("expires=soon", 400),
        ("substring_matching=perhaps", 400),
        ("agent_id=t", 400),
        ("colour=red", 400),
        ("user_id=%00", 400),
        ("team_id=&include_team_keys=true&user_id=", 200),
    ],
)
def test_a_filter_is_applied_or_refused(api, query, status):
    assert api.get(f"list?{query}").status_code == status


def test_the_list_tells_what_was_spent(api):
    made = [api.generate(spend=amount, budget_duration=period) for amount, period in ((1, None), (2, "1d"), (3, "1mo"))]
    rows = api.get("list?return_full_object=true&sort_order=asc").json()["keys"]
    assert [row["spend"] for row in rows] == [1.0, 2.0, 3.0]
    assert [row["budget_reset_at"] for row in rows] == [key["budget_reset_at"] for key in made]


# --- Aliases


def test_aliases_are_in_their_order_and_in_pages(api):
    for name in ("c", "a", "b", None):
        issued(name)
    assert api.get("aliases").json() == {
        "aliases": ["a", "b", "c"],
        "total_count": 3,
        "current_page": 1,
        "total_pages": 1,
        "size": 50,
    }
    body = api.get("aliases?size=2&page=2").json()
    assert (body["aliases"], body["total_pages"], body["size"]) == (["c"], 2, 2)


@pytest.mark.parametrize(("query", "status"), [("size=101", 422), ("page=0", 422), ("colour=red", 400)])
def test_a_query_for_aliases_is_checked(api, query, status):
    assert api.get(f"aliases?{query}").status_code == status
