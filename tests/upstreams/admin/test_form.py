"""An upstream's form: what is stored, what is refused, and what the environment keeps to itself."""

import pytest
from django.test import Client

from tests.support.admin_forms import form_of
from tests.upstreams.admin.pages import ADD, INLINE, LIST, SECRET, an_upstream, page_of, refused, save
from upstreams.models import HEALTHY, Upstream, UpstreamsVersion

pytestmark = pytest.mark.django_db


def test_it_works(admin: Client) -> None:
    fields = {"name": "gpu-1", "url": "http://gpu-1:8000/v1/", "credential": SECRET, "state": "active", **INLINE}
    admin.post(ADD, fields)
    upstream = Upstream.objects.get()
    assert (upstream.url, upstream.is_default) == ("http://gpu-1:8000", True)
    assert upstream.credential.reveal() == SECRET


def test_a_url_that_is_none_is_refused() -> None:
    assert "http://" in form_of(Upstream, {"name": "x", "url": "gpu-1:8000", "state": "active"}).errors["url"][0]


def test_saving_leaves_alone_what_the_prober_noted(admin: Client) -> None:
    upstream = an_upstream()
    Upstream.objects.update_quietly(health=HEALTHY)
    save(admin, upstream, name="gpu-2")
    assert upstream.health == HEALTHY


def test_saving_nothing_bumps_no_version(admin: Client) -> None:
    upstream = an_upstream()
    before = UpstreamsVersion.current()
    save(admin, upstream)
    assert UpstreamsVersion.current() == before


def test_ceiling_and_times_are_edited_on_the_page(admin: Client) -> None:
    upstream = an_upstream()
    save(admin, upstream, max_parallel=8, connect_timeout="1.5", first_byte_timeout="", idle_timeout="30")
    assert (upstream.max_parallel, upstream.connect_timeout, upstream.first_byte_timeout, upstream.idle_timeout) == (
        8,
        1.5,
        None,
        30.0,
    )


@pytest.mark.parametrize("field", ["max_parallel", "connect_timeout", "total_timeout"])
def test_a_ceiling_or_time_of_nothing_is_refused(field: str) -> None:
    assert field in refused(an_upstream(), **{field: 0})


def test_url_and_credential_of_the_environment_are_not_edited(admin: Client) -> None:
    upstream = an_upstream(source="environment", credential=SECRET)
    save(admin, upstream, name="gpu-2", url="http://evil:1", credential="x", clear_credential="on")
    assert (upstream.name, upstream.url) == ("gpu-2", "http://gpu-1:8000")
    assert upstream.credential.reveal() == SECRET


def test_the_environments_upstream_is_shown_as_such(admin: Client) -> None:
    upstream = an_upstream(source="environment")
    assert "HOSTED_VLLM_API_BASE" in admin.get(page_of(upstream)).content.decode()
    assert "Environment" in admin.get(LIST).content.decode()


def test_an_upstream_that_is_gone_leads_to_the_overview(admin: Client) -> None:
    assert admin.get(f"{LIST}999/change/").url == "/admin/"
