"""The deployments on an upstream's page."""

import re

import pytest
from django.test import Client

from tests.upstreams.admin.pages import an_upstream, deployment, history_of, page_of, save
from upstreams.models import Deployment

pytestmark = pytest.mark.django_db


def test_deployments_are_edited_on_the_page(admin: Client) -> None:
    upstream = an_upstream()
    inline = {"deployments-TOTAL_FORMS": 1, **deployment(alias="chat", served_name="qwen", weight=2)}
    save(admin, upstream, **inline)
    (made,) = Deployment.objects.all()
    assert (made.upstream_id, made.alias, made.served_name, made.weight, made.source) == (
        upstream.pk,
        "chat",
        "qwen",
        2,
        "admin",
    )


def test_one_more_deployment_begins_with_a_small_letter(admin: Client) -> None:
    page = admin.get(f"/admin/upstreams/upstream/{an_upstream().pk}/change/").content.decode()
    assert "&quot;Add another deployment&quot;" in page


def test_a_discovered_deployment_can_be_renamed_hidden_weighted_and_priced(admin: Client) -> None:
    upstream = an_upstream(served_models=["qwen"])
    found = upstream.deployments.create(alias="qwen", source="discovered")
    edited = {
        "id": found.pk,
        "alias": "chat",
        "served_name": "qwen",
        "hidden": "on",
        "input_cost_per_token": "1.5",
    }
    inline = {"deployments-TOTAL_FORMS": 1, "deployments-INITIAL_FORMS": 1, **deployment(**edited, weight=3)}
    save(admin, upstream, **{**inline, "deployments-0-upstream": upstream.pk})
    found.refresh_from_db()
    assert (found.alias, found.hidden, found.weight, found.source) == ("chat", True, 3, "discovered")
    assert str(found.input_cost_per_token) == "0.000001500000"
    assert any("model alias" in entry.lower() for entry in history_of(upstream))


def test_where_a_deployment_comes_from_is_shown(admin: Client) -> None:
    upstream = an_upstream(served_models=["qwen"])
    upstream.deployments.create(alias="qwen", source="discovered")
    assert "Not listed" not in admin.get(page_of(upstream)).content.decode()
    upstream.deployments.create(alias="gone", source="discovered", weight=2)
    html = admin.get(page_of(upstream)).content.decode()
    assert "Discovered" in html
    assert "Not listed" in html


def test_deployments_have_their_units_in_capitals(admin: Client) -> None:
    html = admin.get(page_of(an_upstream())).content.decode()
    assert "RPM" in html
    assert not {"Rpm", "Tpm"} & set(re.findall(r"\w+", html))
