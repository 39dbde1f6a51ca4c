"""Prices on an upstream's page: of tokens for a million, of a call, of an hour."""

import re
from decimal import Decimal

import pytest
from django.test import Client

from tests.support.people import undrawn
from tests.upstreams.admin.pages import INLINE, an_upstream, deployment, page_of, refused, save
from upstreams.models import Deployment, PricePeriod, Upstream, UpstreamsVersion

pytestmark = pytest.mark.django_db

PRICED = {
    "input_cost_per_token": "0.0000015",
    "cache_read_input_token_cost": "0.00000015",
    "output_cost_per_token": "0.000002",
    "cost_per_second": "0.0004",
    "cost_per_request": "0.01",
}
SHOWN = {
    "input_cost_per_token": "1.5",
    "cache_read_input_token_cost": "0.15",
    "output_cost_per_token": "2",
    "cost_per_second": "0.0004",
    "cost_per_request": "0.01",
}


def priced(upstream: Upstream, **shown: object) -> dict[str, object]:
    """The page as it was posted, with a deployment of these prices."""
    row = Deployment.objects.create(upstream=upstream, alias="chat", **PRICED)
    fields = {"id": row.pk, "upstream": upstream.pk, "alias": "chat", "served_name": "chat", "weight": 1, **shown}
    return {**INLINE, "deployments-TOTAL_FORMS": 1, "deployments-INITIAL_FORMS": 1, **deployment(**fields)}


def test_prices_of_tokens_are_shown_for_a_million(admin: Client) -> None:
    upstream = an_upstream()
    priced(upstream)
    html = admin.get(page_of(upstream)).content.decode()
    for name, price in SHOWN.items():
        (widget,) = re.findall(f'<input[^>]* name="deployments-0-{name}"[^>]*>', html)
        assert f'value="{price}"' in widget


def test_prices_that_are_posted_as_shown_are_no_change(admin: Client) -> None:
    upstream = an_upstream()
    posted = priced(upstream, **SHOWN)
    before = UpstreamsVersion.current()
    save(admin, upstream, **posted)
    assert UpstreamsVersion.current() == before


def test_prices_are_stored_for_one_and_can_be_cleared(admin: Client) -> None:
    upstream = an_upstream()
    cached = {"cache_read_input_token_cost": "0.000001", "cost_per_second": "", "cost_per_request": "0"}
    save(admin, upstream, **priced(upstream, **{**SHOWN, **cached}))
    row = Deployment.objects.get()
    assert (row.input_cost_per_token, row.output_cost_per_token) == (Decimal("0.0000015"), Decimal("0.000002"))
    assert (row.cache_read_input_token_cost, row.cost_per_second) == (Decimal("0.000000000001"), None)
    assert row.cost_per_request == 0


@pytest.mark.parametrize("price", ["-1", "0.0000001", "1e99", "cheap", "NaN", "999999999999999"])
def test_what_is_no_price_is_refused_and_given_back(admin: Client, price: str) -> None:
    upstream = an_upstream()
    response = save(undrawn(admin), upstream, **priced(upstream, **{**SHOWN, "output_cost_per_token": price}))
    assert response.status_code == 200
    [form] = response.context_data["inline_admin_formsets"][0].formset.initial_forms
    assert list(form.errors) == ["output_cost_per_token"]
    assert f'value="{price}"' in str(form["output_cost_per_token"])
    assert Deployment.objects.get().output_cost_per_token == Decimal("0.000002")


def test_the_price_of_an_hour_is_edited_on_the_page(admin: Client) -> None:
    upstream = an_upstream()
    save(admin, upstream, price_per_hour="2.5")
    assert upstream.price_per_hour == Decimal("2.5")
    assert PricePeriod.objects.get().price_per_hour == Decimal("2.5")
    assert 'value="2.5"' in admin.get(page_of(upstream)).content.decode()
    for wrong in ("-1", "0.0000001", "999999999"):
        assert refused(upstream, price_per_hour=wrong)["price_per_hour"]
