"""The button "Check now"."""

import pytest
from django.test import Client

from tests.support import vllm
from tests.support.people import signed_in
from tests.support.ports import unused_port
from tests.support.upstream import Upstream as Server
from tests.upstreams.admin.pages import LIST, an_upstream, history_of, messages_of, page_of
from upstreams.models import HEALTHY, UNHEALTHY

pytestmark = pytest.mark.django_db


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
