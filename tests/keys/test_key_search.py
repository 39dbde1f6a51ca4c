"""What GET /key/list and /key/aliases find among four keys, which are issued once for all tests here."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from keys import crypto
from keys.models import VirtualKey

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.keys.urls")]


@pytest.fixture(scope="module", autouse=True)
def _four(django_db_setup, django_db_blocker):
    now = timezone.now()
    with django_db_blocker.unblock(), transaction.atomic():
        for name, fields in {
            "Ann-laptop": {"user_id": "ann", "team_id": "red"},
            "ann-desktop": {"user_id": "anna", "blocked": True},
            "bob": {"user_id": "bob", "expires_at": now - timedelta(days=1)},
            "cy": {"team_id": "red", "blocked": True, "expires_at": now + timedelta(days=1)},
        }.items():
            VirtualKey.objects.issue(name=name, secret=f"sk-secret-of-{name}-0123", **fields)
        yield
        transaction.set_rollback(True)


def names(api, query):
    listed = api.get(f"list?return_full_object=true&sort_by=key_alias&sort_order=asc&{query}").json()
    assert listed["total_count"] == len(listed["keys"])
    return [row["key_alias"] for row in listed["keys"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("team_id=red", ["Ann-laptop", "cy"]),
        ("team_id=red&user_id=ann", ["Ann-laptop"]),
        ("user_id=ann", ["Ann-laptop"]),
        ("user_id=ann&substring_matching=true", ["Ann-laptop", "ann-desktop"]),
        ("key_alias=ann", []),
        ("key_alias=ANN&substring_matching=true", ["Ann-laptop", "ann-desktop"]),
        ("search=ann", ["Ann-laptop", "ann-desktop"]),
        (f"search={crypto.digest('sk-secret-of-cy-0123')}", ["cy"]),
        ("search=sk-secret-of-cy-0123", ["cy"]),
        ("search=%25", []),
        ("key_hash=sk-secret-of-bob-0123", ["bob"]),
        (f"key_hash={'0' * 64}", []),
        ("status=active", ["Ann-laptop"]),
        ("status=expired", ["bob"]),
        ("status=revoked", ["ann-desktop", "cy"]),
        ("status=deleted", []),
        ("expires=expired", ["bob"]),
        ("expires=active", ["Ann-laptop", "ann-desktop", "cy"]),
        ("status=&expires=&search=&team_id=", ["Ann-laptop", "ann-desktop", "bob", "cy"]),
    ],
)
def test_each_filter(api, query, found):
    assert names(api, query) == found


@pytest.mark.parametrize("column", ["created_at", "updated_at", "user_id", "team_id", "expires", "max_budget"])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_every_column_sorts_all_keys(api, column, order):
    listed = api.get(f"list?sort_by={column}&sort_order={order}").json()["keys"]
    assert len(set(listed)) == 4


@pytest.mark.parametrize(("query", "found"), [("search=LAP", ["Ann-laptop"]), ("team_id=red", ["Ann-laptop", "cy"])])
def test_aliases_can_be_searched(api, query, found):
    assert sorted(api.get(f"aliases?{query}").json()["aliases"]) == found
