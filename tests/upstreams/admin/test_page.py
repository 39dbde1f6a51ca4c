"""An upstream's page: what it shows, and what can be done there."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone

from tests.support import answers, vllm
from tests.support.people import signed_in, undrawn
from tests.support.upstream import Upstream as Server
from tests.upstreams.admin.pages import ADD, INLINE, SECRET, an_upstream, history_of, page_of
from upstreams.models import HEALTHY, HealthChange, LoadSample, Upstream

pytestmark = pytest.mark.django_db
FRAGMENT = {"X-Fragment": "1"}


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        vllm.serve(server)
        yield server


def html_of(admin: Client, upstream: Upstream) -> str:
    return admin.get(page_of(upstream)).content.decode()


def told(response) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


# --- Before it is saved


@pytest.mark.sockets
def test_a_server_is_checked_before_it_is_saved(admin: Client, server: Server) -> None:
    response = admin.post(f"{ADD}check/", {"name": "gpu-1", "url": server.url}, headers=FRAGMENT)
    html = response.content.decode()
    assert "vLLM 0.32.0 answers" in html
    assert "tiny-chat" in html
    assert "Start vLLM with --api-key" in html
    assert not Upstream.objects.exists()


@pytest.mark.sockets
def test_without_a_script_the_form_is_shown_again_as_it_was_entered(admin: Client, server: Server) -> None:
    fields = {"name": "gpu-1", "url": server.url, "credential": SECRET, "state": "draining"}
    html = admin.post(f"{ADD}check/", fields).content.decode()
    assert "vLLM 0.32.0 answers" in html
    assert f'value="{server.url}"' in html
    assert '<option value="draining" selected>' in html
    assert f'action="{ADD}"' in html
    assert SECRET not in html
    assert "Enter the credential once more" in html


@pytest.mark.sockets
def test_one_that_was_checked_before_it_is_saved_begins_with_what_was_seen(admin: Client, server: Server) -> None:
    fields = {"name": "gpu-1", "url": server.url + "/v1", "credential": SECRET, "state": "active"}
    admin.post(f"{ADD}check/", fields, headers=FRAGMENT)
    admin.post(ADD, {**fields, **INLINE})
    html = html_of(admin, Upstream.objects.get())
    assert "vLLM 0.32.0 answers" in html
    assert "Not checked yet" not in html
    assert "The server was asked at" in html


@pytest.mark.sockets
def test_an_address_that_an_upstream_has_is_told_before_it_is_saved(admin: Client, server: Server) -> None:
    an_upstream("first", url=server.url)
    for headers in (FRAGMENT, {}):
        html = admin.post(f"{ADD}check/", {"url": server.url + "/v1/"}, headers=headers).content.decode()
        assert "has this address already" in html


def test_a_url_that_is_none_is_told_at_once(admin: Client) -> None:
    response = admin.post(f"{ADD}check/", {"url": "gpu-1"}, headers=FRAGMENT)
    assert b"must start with http://" in response.content


def test_only_who_may_add_upstreams_can_have_a_url_asked() -> None:
    assert signed_in("upstreams.change_upstream").post(f"{ADD}check/", {"url": "http://x"}).status_code == 403
    assert Client().post(f"{ADD}check/", {"url": "http://x"}).status_code == 302


def test_a_check_is_no_link(admin: Client) -> None:
    assert admin.get(f"{ADD}check/")["Location"] == ADD
    assert admin.put(f"{ADD}check/").status_code == 405


# --- What it shows


def test_the_history_of_its_health_is_shown(admin: Client) -> None:
    upstream, now = an_upstream(), timezone.now()
    Upstream.objects.update_quietly(created_at=now - timedelta(days=2))
    for hours, health in ((20, "healthy"), (10, "unhealthy"), (8, "healthy")):
        HealthChange.objects.create(upstream=upstream, at=now - timedelta(hours=hours), health=health, text=f"{hours}")
    html = html_of(admin, upstream)
    assert "90 %" in html
    assert 'class="health-unhealthy"' in html
    assert "for 2 h 0 min" in html


def test_its_load_is_drawn_for_the_time_that_is_chosen(admin: Client) -> None:
    upstream, now = an_upstream(), timezone.now()
    for hours in (2, 3, 60):
        LoadSample.objects.create(upstream=upstream, at=now - timedelta(hours=hours), running=hours, waiting=0)
    pages = [undrawn(admin).get(f"{page_of(upstream)}?hours={hours}") for hours in (24, 168)]
    day, week = (page.context_data["load_history"] for page in pages)
    assert max(filter(None, day.chart["series"][0]["values"])) == 3
    assert max(filter(None, week.chart["series"][0]["values"])) == 60


def test_its_load_opens_on_an_hour_until_there_is_a_day_to_see(admin: Client) -> None:
    upstream, now = an_upstream(), timezone.now()

    def opened() -> str:
        return str(undrawn(admin).get(page_of(upstream)).context_data["load_history"].hours)

    def sampled(hours: float) -> None:
        LoadSample.objects.create(upstream=upstream, at=now - timedelta(hours=hours), running=1, waiting=0)

    assert opened() == "1"
    sampled(3)
    assert opened() == "24"  # silent since: an hour would be empty
    sampled(0.1)
    assert opened() == "1"
    sampled(25)
    assert opened() == "24"


@pytest.mark.sockets
def test_one_that_has_died_is_told_as_it_is_and_as_it_was(admin: Client, server: Server) -> None:
    upstream = an_upstream(url=server.url)
    admin.post(page_of(upstream, "check"))
    LoadSample.objects.create(upstream=upstream, at=timezone.now() - timedelta(minutes=10), running=1, waiting=0)
    server.stop()
    admin.post(page_of(upstream, "check"))
    html = html_of(admin, upstream)
    for words in (
        "The connection is refused",
        "vLLM version, when last healthy</dt><dd>0.32.0",
        "Serves, when last healthy",
        "it is away now, and this is how it was then",
        "there will hardly be an answer",
        "no command will reach the server",
    ):
        assert words in html, words
    drawn = undrawn(admin).get(page_of(upstream)).context_data["load_history"].chart["series"][0]["values"]
    assert (drawn[0], drawn[-1]) == (1, None)
    tried = admin.post(page_of(upstream, "try"), {"model": "tiny-chat"}, headers=FRAGMENT).content.decode()
    assert "No answer" in tried
    assert "The connection is refused" in tried


def test_a_new_one_says_what_will_come(admin: Client) -> None:
    html = html_of(admin, an_upstream())
    assert "Each change of health will have a line here" in html
    assert "its load is noted every half minute" in html
    assert "No model is known yet" in html


def test_known_advisories_are_listed_with_their_sources(admin: Client) -> None:
    html = html_of(admin, an_upstream(vllm_version="0.21.0"))
    assert "CVE-2026-48746" in html
    assert "Update vLLM to" in html
    assert 'rel="noreferrer noopener"' in html


def test_one_that_sleeps_says_so(admin: Client) -> None:
    posture = {"dev_mode": True, "models": True, "invocations": True, "asleep": True}
    assert "Asleep" in html_of(admin, an_upstream(posture=posture, health=HEALTHY))
    assert "Asleep" in admin.get("/admin/upstreams/upstream/").content.decode()


def test_the_part_that_changes_by_itself_can_be_read_by_who_may_see_the_page() -> None:
    upstream = an_upstream(health_text="all well")
    assert b"all well" in signed_in("upstreams.view_upstream").get(page_of(upstream, "now")).content
    assert signed_in("keys.view_team", name="bob").get(page_of(upstream, "now")).status_code == 403
    assert signed_in(name="eve").get("/admin/upstreams/upstream/99/now/").status_code == 404


# --- What can be done


@pytest.mark.parametrize(("state", "words"), [("draining", "Draining"), ("disabled", "Disabled")])
def test_a_button_sets_the_state(admin: Client, state: str, words: str) -> None:
    upstream = an_upstream()
    assert f"{words}: gpu-1." in told(admin.post(page_of(upstream, "state"), {"state": state}))
    upstream.refresh_from_db()
    assert (upstream.state, history_of(upstream)) == (state, [f"{words}."])


def test_a_state_that_there_is_not_or_that_it_has_changes_nothing(admin: Client) -> None:
    upstream = an_upstream()
    assert "Choose active" in told(admin.post(page_of(upstream, "state"), {"state": "gone"}))
    assert "is active already" in told(admin.post(page_of(upstream, "state"), {"state": "active"}))
    assert history_of(upstream) == []


@pytest.mark.sockets
def test_a_test_call_shows_the_answer_and_is_in_the_history(admin: Client, server: Server) -> None:
    upstream = an_upstream(url=server.url, served_models=["tiny-chat"])
    html = admin.post(page_of(upstream, "try"), {"model": "tiny-chat"}, headers=FRAGMENT).content.decode()
    assert "A chat completion went well." in html
    assert "mall for" in html
    assert history_of(upstream) == ["Called tiny-chat as a test. A chat completion went well."]


@pytest.mark.sockets
def test_without_a_script_a_test_call_is_a_message(admin: Client, server: Server) -> None:
    server.on("POST /v1/chat/completions", vllm.error(500, "EngineCore encountered an issue."))
    upstream = an_upstream(url=server.url, served_models=["tiny-chat"])
    assert "EngineCore" in told(admin.post(page_of(upstream, "try"), {"model": "tiny-chat"}))


def test_only_models_of_the_upstream_can_be_called(admin: Client) -> None:
    upstream = an_upstream(served_models=["tiny-chat"])
    response = admin.post(page_of(upstream, "try"), {"model": "other"}, headers=FRAGMENT)
    assert b"Choose one of the models" in response.content
    assert history_of(upstream) == []


def test_before_a_check_the_models_of_its_deployments_can_be_called(admin: Client) -> None:
    upstream = an_upstream()
    upstream.deployments.create(alias="chat", served_name="tiny-chat")
    upstream.deployments.create(alias="org/*")
    assert undrawn(admin).get(page_of(upstream)).context_data["models_to_try"] == ["tiny-chat"]


@pytest.mark.sockets
def test_a_command_is_given_and_is_in_the_history(admin: Client, server: Server) -> None:
    server.on("POST /sleep", answers.body(b""))
    server.on("GET /is_sleeping", answers.json(200, {"is_sleeping": True}))
    upstream = an_upstream(url=server.url, credential=SECRET)
    assert "On gpu-1: Put to sleep" in told(admin.post(page_of(upstream, "control"), {"command": "sleep"}))
    assert history_of(upstream)[0].startswith("Sleep: Put to sleep, in")
    upstream.refresh_from_db()
    assert upstream.posture["asleep"] is True
    assert server.requests[0].header("authorization") == f"Bearer {SECRET}"


@pytest.mark.sockets
def test_a_loaded_adapter_is_a_model_at_once(admin: Client, server: Server) -> None:
    server.on("POST /v1/load_lora_adapter", answers.body(b"Success"))
    server.on("GET /v1/models", vllm.models("tiny-chat", "mine"))
    upstream = an_upstream(url=server.url)
    admin.post(page_of(upstream, "control"), {"command": "load_lora", "lora_name": "mine", "lora_path": "/lora"})
    assert set(upstream.deployments.values_list("alias", flat=True)) == {"tiny-chat", "mine"}


@pytest.mark.sockets
def test_a_command_that_fails_is_in_the_history_too(admin: Client, server: Server) -> None:
    upstream = an_upstream(url=server.url)
    assert "VLLM_SERVER_DEV_MODE=1" in told(admin.post(page_of(upstream, "control"), {"command": "wake_up"}))
    assert history_of(upstream)[0].startswith("Wake up: The server has no /wake_up")


def test_an_adapter_without_a_name_is_refused_before_anybody_is_asked(admin: Client) -> None:
    upstream = an_upstream()
    assert "adapter's name" in told(admin.post(page_of(upstream, "control"), {"command": "unload_lora"}))
    assert history_of(upstream) == []


def test_a_command_that_there_is_not_is_not_found(admin: Client) -> None:
    assert admin.post(page_of(an_upstream(), "control"), {"command": "collective_rpc"}).status_code == 404


def test_server_control_has_a_permission_of_its_own() -> None:
    upstream = an_upstream()
    operator = signed_in("upstreams.change_upstream", "upstreams.view_upstream", name="bob")
    assert operator.post(page_of(upstream, "control"), {"command": "sleep"}).status_code == 403
    assert "Server control" not in html_of(operator, upstream)
    controller = signed_in("upstreams.view_upstream", "upstreams.control_upstream", name="eve")
    assert "Server control" in html_of(controller, upstream)
    assert (
        signed_in("upstreams.control_upstream").post(page_of(upstream, "control"), {"command": "sleep"}).status_code
        == 403
    )


@pytest.mark.parametrize("verb", ["state", "try", "check"])
def test_viewers_can_do_nothing(verb: str) -> None:
    viewer = signed_in("upstreams.view_upstream", "upstreams.control_upstream")
    assert viewer.post(page_of(an_upstream(), verb), {"state": "disabled", "model": "m"}).status_code == 403
