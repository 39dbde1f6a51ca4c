"""Two upstreams at one address: only for who means it."""

import pytest
from django.contrib.admin.utils import flatten_fieldsets
from django.test import Client

from tests.support.admin_forms import form_of
from tests.support.people import undrawn
from tests.upstreams.admin.pages import ADD, INLINE, an_upstream, save
from upstreams.models import Upstream

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("url", ["http://gpu-1", "HTTP://GPU-1:80/v1/", "http://gpu-1.:80/"])
def test_a_second_upstream_at_the_same_address_has_to_be_meant(admin: Client, url: str) -> None:
    an_upstream(url="http://gpu-1")
    fields = {"name": "gpu-2", "url": url, "state": "active", **INLINE}
    page = undrawn(admin).post(ADD, fields).context_data["adminform"]
    (told,) = page.form.errors["url"]
    assert told.startswith("gpu-1 has this address already.")
    assert "same_address" in flatten_fieldsets(page.fieldsets)
    admin.post(ADD, {**fields, "same_address": "on"})
    assert Upstream.objects.count() == 2


def test_an_empty_address_is_one_mistake() -> None:
    form = form_of(Upstream, {"name": "gpu-2", "url": "", "state": "active"})
    assert form.errors["url"] == ["This field is required."]


@pytest.mark.parametrize("url", ["http://gpu-1:81", "https://gpu-1", "http://gpu-1/two"])
def test_another_address_is_another_server(admin: Client, url: str) -> None:
    an_upstream(url="http://gpu-1")
    admin.post(ADD, {"name": "gpu-2", "url": url, "state": "active", **INLINE})
    assert Upstream.objects.count() == 2


def test_moving_to_the_address_of_another_has_to_be_meant(admin: Client) -> None:
    an_upstream()
    second = an_upstream("gpu-2", "http://gpu-2:8000")
    refusal = save(admin, second, url="http://gpu-1:8000")
    assert refusal.status_code == 200
    assert 'name="same_address"' in refusal.content.decode()
    assert second.url == "http://gpu-2:8000"
    save(admin, second, url="http://gpu-1:8000", same_address="on")
    assert second.url == "http://gpu-1:8000"
    assert save(admin, second, name="gpu-3").status_code == 302  # nobody is asked twice
