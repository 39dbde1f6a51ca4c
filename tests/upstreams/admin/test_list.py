"""The list of upstreams: what it tells, how it is narrowed, and what is done from it."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from tests.support.people import signed_in
from tests.upstreams.admin.pages import ADD, LIST, SECRET, act, an_upstream, history_of, messages_of, page_of
from upstreams.models import HEALTHY, UNHEALTHY, Upstream, UpstreamsVersion

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("guess", ["credential__startswith=gAAAA", "credential__exact=x", "name__regex=((("])
def test_nobody_can_guess_at_a_column_that_the_list_does_not_show(admin: Client, guess: str) -> None:
    an_upstream(credential=SECRET)
    assert admin.get(f"{LIST}?{guess}").status_code == 400


def test_the_list_can_be_narrowed_by_its_filters(admin: Client) -> None:
    an_upstream()
    assert b"gpu-1" in admin.get(f"{LIST}?state__exact=active&health__exact=unknown").content
    assert b"No upstream matches" in admin.get(f"{LIST}?state__exact=disabled").content


def test_the_list_tells_health_version_and_models(admin: Client) -> None:
    an_upstream()
    Upstream.objects.update_quietly(health=HEALTHY, vllm_version="0.32.0", latency_ms=4.0)
    Upstream.objects.update(served_models=["a", "b", "c"])
    html = admin.get(LIST).content.decode()
    for told in ("Healthy", "vLLM 0.32.0, 4 ms", "a, b and 1 more", "Default"):
        assert told in html


def test_the_list_tells_no_more_of_the_health_than_a_sentence(admin: Client) -> None:
    an_upstream()
    Upstream.objects.update_quietly(health=UNHEALTHY, health_text="vLLM 0.32 is away. Is the port right?")
    html = admin.get(LIST).content.decode()
    assert "vLLM 0.32 is away." in html
    assert "Is the port right?" not in html


def test_the_list_tells_what_runs_and_what_waits(admin: Client) -> None:
    an_upstream()
    Upstream.objects.update_quietly(running=3, waiting=41, kv_cache_use=0.25, load_at=timezone.now())
    html = admin.get(LIST).content.decode()
    assert "3, 41" in html
    assert "KV cache 25%" in html


def test_figures_of_long_ago_are_not_shown(admin: Client) -> None:
    an_upstream()
    Upstream.objects.update_quietly(running=3, waiting=41, load_at=timezone.now() - timedelta(minutes=2))
    html = admin.get(LIST).content.decode()
    assert "3, 41" not in html
    assert "no figures since" in html


def test_figures_of_a_server_that_is_away_are_not_shown(admin: Client) -> None:
    upstream = an_upstream()
    Upstream.objects.update_quietly(running=3, waiting=41, load_at=timezone.now(), health=UNHEALTHY)
    for page in (LIST, page_of(upstream), page_of(upstream, "now")):
        html = admin.get(page).content.decode()
        assert "3, 41" not in html
        assert "no figures since" in html


@pytest.mark.parametrize(("source", "word"), [("config", "Config file"), ("api", "REST API")])
def test_an_upstream_that_a_program_keeps_is_shown_as_such(admin: Client, source: str, word: str) -> None:
    an_upstream(source=source)
    assert word in admin.get(LIST).content.decode()


def test_the_empty_list_names_the_fallback(admin: Client) -> None:
    html = admin.get(LIST).content.decode()
    assert "http://localhost:8000" in html
    assert ADD in html


def test_a_search_without_a_find_offers_all_upstreams(admin: Client) -> None:
    an_upstream()
    assert "No upstream matches" in admin.get(LIST, {"q": "nobody"}).content.decode()


def test_draining_ends_new_calls_and_can_be_ended(admin: Client) -> None:
    one, two = an_upstream(), an_upstream("gpu-2", state="disabled")
    response = act(admin, "drain", one, two)
    assert dict(Upstream.objects.values_list("name", "state")) == {"gpu-1": "draining", "gpu-2": "disabled"}
    assert messages_of(response) == ["Draining: gpu-1."]
    assert history_of(one) == ["Draining."]
    assert messages_of(act(admin, "undrain", one, two)) == ["Draining: gpu-1.", "Taking calls again: gpu-1."]
    assert dict(Upstream.objects.values_list("name", "state")) == {"gpu-1": "active", "gpu-2": "disabled"}


def test_draining_what_drains_changes_nothing(admin: Client) -> None:
    upstream = an_upstream(state="draining")
    version = UpstreamsVersion.current()
    assert messages_of(act(admin, "drain", upstream)) == ["Draining: no upstream."]
    assert UpstreamsVersion.current() == version


def test_who_may_only_look_cannot_drain() -> None:
    upstream = an_upstream()
    act(signed_in("upstreams.view_upstream"), "drain", upstream)
    assert Upstream.objects.get().state == "active"
