import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.support import vllm
from tests.support.admin_forms import form_of
from tests.support.people import signed_in, undrawn
from tests.support.upstream import Upstream as Server
from tests.support.upstream import unused_port
from upstreams.models import (
    HEALTHY,
    UNHEALTHY,
    Deployment,
    HealthChange,
    LoadSample,
    PricePeriod,
    Upstream,
    UpstreamsVersion,
)

pytestmark = pytest.mark.django_db
LIST, ADD = "/admin/upstreams/upstream/", "/admin/upstreams/upstream/add/"
SECRET = "the-servers-own-key"
INLINE = {"deployments-TOTAL_FORMS": 0, "deployments-INITIAL_FORMS": 0}


def deployment(**fields: object) -> dict[str, object]:
    """The first row of the deployments as the page posts it."""
    return {f"deployments-0-{name}": value for name, value in fields.items()}


@pytest.fixture
def admin() -> Client:
    return signed_in()


def an_upstream(name: str = "gpu-1", url: str = "http://gpu-1:8000", **fields: object) -> Upstream:
    upstream = Upstream(name=name, url=url, **fields)
    upstream.save()
    return upstream


def page_of(upstream: Upstream, verb: str = "change") -> str:
    return f"{LIST}{upstream.pk}/{verb}/"


def save(admin: Client, upstream: Upstream, **fields: object):
    kept = {"name": upstream.name, "url": upstream.url, "state": upstream.state, "is_default": "on"}
    response = admin.post(page_of(upstream), {**kept, **INLINE, **fields})
    upstream.refresh_from_db()
    return response


def messages_of(response) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def history_of(upstream: Upstream) -> list[str]:
    return [entry.get_change_message() for entry in LogEntry.objects.filter(object_id=upstream.pk)]


def refused(upstream: Upstream, **fields: object) -> dict[str, list[str]]:
    """What the form says of these fields, by their names."""
    form = form_of(upstream, {"name": upstream.name, "url": upstream.url, "state": upstream.state, **fields})
    return dict(form.errors)


@pytest.mark.parametrize("guess", ["credential__startswith=gAAAA", "credential__exact=x", "name__regex=((("])
def test_nobody_can_guess_at_a_column_that_the_list_does_not_show(admin: Client, guess: str) -> None:
    an_upstream(credential=SECRET)
    assert admin.get(f"{LIST}?{guess}").status_code == 400


def test_the_list_can_be_narrowed_by_its_filters(admin: Client) -> None:
    an_upstream()
    assert b"gpu-1" in admin.get(f"{LIST}?state__exact=active&health__exact=unknown").content
    assert b"No upstream matches" in admin.get(f"{LIST}?state__exact=disabled").content


def test_it_works(admin: Client) -> None:
    fields = {"name": "gpu-1", "url": "http://gpu-1:8000/v1/", "credential": SECRET, "state": "active", **INLINE}
    admin.post(ADD, fields)
    upstream = Upstream.objects.get()
    assert (upstream.url, upstream.is_default) == ("http://gpu-1:8000", True)
    assert upstream.credential.reveal() == SECRET


def test_a_url_that_is_none_is_refused() -> None:
    assert "http://" in form_of(Upstream, {"name": "x", "url": "gpu-1:8000", "state": "active"}).errors["url"][0]


@pytest.mark.parametrize("verb", ["change", "history", "delete"])
def test_the_credential_is_on_no_page(admin: Client, verb: str) -> None:
    upstream = an_upstream(credential=SECRET)
    save(admin, upstream, credential=SECRET + "-2")
    html = admin.get(page_of(upstream, verb)).content.decode()
    assert SECRET not in html
    assert upstream.credential.stored not in html


def test_a_refused_form_does_not_give_the_credential_back(admin: Client) -> None:
    response = save(admin, an_upstream(), credential=SECRET, url="nonsense")
    assert response.status_code == 200
    assert "http://" in response.context["adminform"].form.errors["url"][0]
    assert 'value="nonsense"' in response.content.decode()
    assert SECRET not in response.content.decode()


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"url": "nonsense"}, {**INLINE, "deployments-TOTAL_FORMS": 1, **deployment(weight=-1)}]
)
def test_a_refused_form_asks_for_the_credential_again(admin: Client, wrong: dict[str, object]) -> None:
    upstream = an_upstream(credential=SECRET)
    assert "Enter the credential once more" in save(admin, upstream, credential="another", **wrong).content.decode()
    assert "once more" not in save(admin, upstream, **wrong).content.decode()


def test_a_new_upstream_whose_form_is_refused_asks_for_the_credential_again(admin: Client) -> None:
    an_upstream()
    response = admin.post(ADD, {"name": "gpu-1", "url": "http://gpu-2:8000", "credential": SECRET, "state": "active"})
    form = response.context["adminform"].form
    assert set(form.errors) == {"name", "credential"}
    assert "correct the errors below" in response.content.decode()
    assert SECRET not in response.content.decode()


def test_an_empty_credential_keeps_the_stored_one(admin: Client) -> None:
    upstream = an_upstream(credential=SECRET)
    save(admin, upstream, name="gpu-2", credential="")
    assert (upstream.name, upstream.credential.reveal()) == ("gpu-2", SECRET)


def test_a_new_credential_replaces_the_stored_one(admin: Client) -> None:
    upstream = an_upstream(credential=SECRET)
    save(admin, upstream, credential="another")
    assert upstream.credential.reveal() == "another"
    assert history_of(upstream) == ["Changed Credential."]


def test_the_checkbox_clears_the_stored_credential(admin: Client) -> None:
    upstream = an_upstream(credential=SECRET)
    save(admin, upstream, clear_credential="on")
    assert not upstream.credential


def test_a_new_credential_and_clearing_contradict_each_other(admin: Client) -> None:
    upstream = an_upstream(credential=SECRET)
    response = save(undrawn(admin), upstream, credential="another", clear_credential="on")
    assert response.context_data["adminform"].form.non_field_errors()
    assert upstream.credential.reveal() == SECRET


def test_a_credential_that_no_header_can_carry_is_refused() -> None:
    assert "credential" in refused(an_upstream(), credential="two words")


def test_another_host_clears_the_credential_and_says_so(admin: Client) -> None:
    upstream = an_upstream(credential=SECRET)
    response = save(admin, upstream, url="http://elsewhere:8000")
    assert not upstream.credential
    assert any("credential was cleared" in message for message in messages_of(response))


def test_another_host_with_its_credential_is_stored_silently(admin: Client) -> None:
    upstream = an_upstream(credential=SECRET)
    response = save(admin, upstream, url="http://elsewhere:8000", credential="another")
    assert upstream.credential.reveal() == "another"
    assert len(messages_of(response)) == 1


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


PRICED = {
    "input_cost_per_token": "0.0000015",
    "cache_read_input_token_cost": "0.00000015",
    "output_cost_per_token": "0.000002",
    "cost_per_second": "0.0004",
    "cost_per_request": "0.01",
}


def priced(upstream: Upstream, **shown: object) -> dict[str, object]:
    """The page as it was posted, with a deployment of these prices."""
    row = Deployment.objects.create(upstream=upstream, alias="chat", **PRICED)
    fields = {"id": row.pk, "upstream": upstream.pk, "alias": "chat", "served_name": "chat", "weight": 1, **shown}
    return {**INLINE, "deployments-TOTAL_FORMS": 1, "deployments-INITIAL_FORMS": 1, **deployment(**fields)}


SHOWN = {
    "input_cost_per_token": "1.5",
    "cache_read_input_token_cost": "0.15",
    "output_cost_per_token": "2",
    "cost_per_second": "0.0004",
    "cost_per_request": "0.01",
}


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


def test_where_a_deployment_comes_from_is_shown(admin: Client) -> None:
    upstream = an_upstream(served_models=["qwen"])
    upstream.deployments.create(alias="qwen", source="discovered")
    assert "Not listed" not in admin.get(page_of(upstream)).content.decode()
    upstream.deployments.create(alias="gone", source="discovered", weight=2)
    html = admin.get(page_of(upstream)).content.decode()
    assert "Discovered" in html
    assert "Not listed" in html


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


# --- Drain


def act(admin: Client, action: str, *upstreams: Upstream):
    return admin.post(LIST, {"action": action, "_selected_action": [upstream.pk for upstream in upstreams]})


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


# --- Load


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


# --- Two upstreams at one address


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


# --- The environment's upstream


def test_url_and_credential_of_the_environment_are_not_edited(admin: Client) -> None:
    upstream = an_upstream(source="environment", credential=SECRET)
    save(admin, upstream, name="gpu-2", url="http://evil:1", credential="x", clear_credential="on")
    assert (upstream.name, upstream.url) == ("gpu-2", "http://gpu-1:8000")
    assert upstream.credential.reveal() == SECRET


def test_the_environments_upstream_is_shown_as_such(admin: Client) -> None:
    upstream = an_upstream(source="environment")
    assert "HOSTED_VLLM_API_BASE" in admin.get(page_of(upstream)).content.decode()
    assert "Environment" in admin.get(LIST).content.decode()


@pytest.mark.parametrize(("source", "word"), [("config", "Config file"), ("api", "REST API")])
def test_an_upstream_that_a_program_keeps_is_shown_as_such(admin: Client, source: str, word: str) -> None:
    an_upstream(source=source)
    assert word in admin.get(LIST).content.decode()


@pytest.mark.sockets
def test_check_now_tells_version_models_and_latency(admin: Client) -> None:
    with Server() as server:
        vllm.serve(server, model="tiny-chat")
        upstream = an_upstream(url=server.url)
        response = admin.post(page_of(upstream, "check"))
    upstream.refresh_from_db()
    assert (upstream.health, upstream.vllm_version, upstream.served_models) == (HEALTHY, "0.32.0", ["tiny-chat"])
    assert "serves tiny-chat" in messages_of(response)[0]
    assert "Checked. vLLM 0.32.0" in history_of(upstream)[0]


@pytest.mark.sockets
def test_check_now_says_in_plain_words_what_is_wrong(admin: Client) -> None:
    upstream = an_upstream(url=f"http://127.0.0.1:{unused_port()}")
    response = admin.post(page_of(upstream, "check"))
    upstream.refresh_from_db()
    assert upstream.health == UNHEALTHY
    assert "The connection is refused" in messages_of(response)[0]
    assert "The connection is refused" in admin.get(LIST).content.decode()


def test_check_now_needs_the_permission_and_a_post() -> None:
    upstream, viewer = an_upstream(), signed_in("upstreams.view_upstream")
    assert viewer.post(page_of(upstream, "check")).status_code == 403
    assert signed_in(name="bob").get(page_of(upstream, "check")).url == page_of(upstream)


def test_viewers_see_neither_the_credential_nor_a_button() -> None:
    html = signed_in("upstreams.view_upstream").get(page_of(an_upstream(credential=SECRET))).content.decode()
    assert "credential" not in html.lower()
    assert "/check/" not in html


def test_the_list_tells_no_more_of_the_health_than_a_sentence(admin: Client) -> None:
    an_upstream()
    Upstream.objects.update_quietly(health=UNHEALTHY, health_text="vLLM 0.32 is away. Is the port right?")
    html = admin.get(LIST).content.decode()
    assert "vLLM 0.32 is away." in html
    assert "Is the port right?" not in html


def test_deployments_have_their_units_in_capitals(admin: Client) -> None:
    html = admin.get(page_of(an_upstream())).content.decode()
    assert "RPM" in html
    assert not {"Rpm", "Tpm"} & set(re.findall(r"\w+", html))


def test_the_list_tells_health_version_and_models(admin: Client) -> None:
    an_upstream()
    Upstream.objects.update_quietly(health=HEALTHY, vllm_version="0.32.0", latency_ms=4.0)
    Upstream.objects.update(served_models=["a", "b", "c"])
    html = admin.get(LIST).content.decode()
    for told in ("Healthy", "vLLM 0.32.0, 4 ms", "a, b and 1 more", "Default"):
        assert told in html


def test_the_empty_list_names_the_fallback(admin: Client) -> None:
    html = admin.get(LIST).content.decode()
    assert "http://localhost:8000" in html
    assert ADD in html


def test_a_search_without_a_find_offers_all_upstreams(admin: Client) -> None:
    an_upstream()
    assert "No upstream matches" in admin.get(LIST, {"q": "nobody"}).content.decode()


def asked_before_deleting(admin: Client, *upstreams: Upstream) -> str:
    """What the question says, of one upstream on its page, of several on the list's."""
    if len(upstreams) == 1:
        html = admin.get(page_of(upstreams[0], "delete")).content.decode()
    else:
        chosen = [upstream.pk for upstream in upstreams]
        html = admin.post(LIST, {"action": "delete_selected", "_selected_action": chosen}).content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html[html.index("deleted-objects") :]))


def test_before_an_upstream_is_deleted_its_samples_are_counted_and_not_listed(admin: Client) -> None:
    upstream, now = an_upstream(), timezone.now()
    times = (now - timedelta(seconds=30 * number) for number in range(1200))
    LoadSample.objects.bulk_create([LoadSample(upstream=upstream, at=at, running=1, waiting=0) for at in times])
    HealthChange.objects.create(upstream=upstream, at=now, health=HEALTHY)
    Deployment.objects.create(upstream=upstream, alias="qwen")
    told = asked_before_deleting(admin, upstream)
    assert "1 deployment: qwen 1,200 samples of its load and 1 change of its health" in told
    assert told.count("sample") == 1


def test_before_an_upstream_is_deleted_it_is_said_what_calls_lose(admin: Client) -> None:
    first, second, third = an_upstream(), an_upstream("gpu-2"), an_upstream("gpu-3")
    for upstream, alias in ((first, "qwen"), (second, "qwen"), (second, "phi")):
        Deployment.objects.create(upstream=upstream, alias=alias)
    told = asked_before_deleting(admin, first)
    assert "It is the default" in told
    assert "No other upstream" not in told
    assert "No other upstream has phi:" in asked_before_deleting(admin, second)
    assert "No other upstream has phi, qwen:" in asked_before_deleting(admin, first, second)
    told = asked_before_deleting(admin, first, second, third)
    assert told.count("No upstream is left then: all calls go to") == 1


def test_the_question_before_deleting_costs_the_same_for_many(admin: Client) -> None:
    several = [an_upstream(f"gpu-{number}") for number in range(5)]

    def queries(*upstreams: Upstream) -> int:
        with CaptureQueriesContext(connection) as captured:
            asked_before_deleting(admin, *upstreams)
        return len(captured)

    assert queries(*several) == queries(*several[:2])


def test_upstreams_are_deleted_in_bulk(admin: Client) -> None:
    upstream = an_upstream()
    admin.post(LIST, {"action": "delete_selected", "_selected_action": [upstream.pk], "post": "yes"})
    assert not Upstream.objects.exists()


def test_an_upstream_that_is_gone_leads_to_the_overview(admin: Client) -> None:
    assert admin.get(f"{LIST}999/change/").url == "/admin/"
