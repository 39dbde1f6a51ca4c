"""What a new admin does in the first hour: from an empty gateway to a key that is killed in the middle of a stream."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitor import Visitor
from tests.support import vllm
from tests.support.gateway import Gateway
from tests.support.patience import PATIENCE, wait_for
from tests.support.upstream import Upstream

CHAT = {"model": "tiny-chat", "messages": [{"role": "user", "content": "Which way is the sea?"}]}


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A vLLM server that nobody knows yet."""
    with Upstream() as upstream:
        vllm.serve(upstream)
        yield upstream


@pytest.fixture(scope="module")
def gateway(chromium: str) -> Iterator[Gateway]:
    """A gateway that was started a moment ago for the first time, by somebody who chose no password."""
    with Gateway(database="") as gateway:
        yield gateway


def test_a_new_admin_gets_from_nothing_to_a_killed_key(visitor: Visitor, gateway: Gateway, upstream: Upstream) -> None:
    page = visitor.page
    sign_in_as_told(visitor, gateway)
    add_the_upstream(page, upstream)
    secret = issue_a_key(page)
    call_and_find_it(page, gateway, secret)
    see_why_another_failed(page, gateway, secret)
    newer = rotate(page, gateway, secret)
    kill(page, gateway, upstream, newer)


def sign_in_as_told(visitor: Visitor, gateway: Gateway) -> None:
    """With the name and the password in the terminal, as the log-in page says; afterwards it says so no more."""
    told = re.search(r"/admin/ +user (\S+)\n +password +(\S+) ", gateway.output)
    assert told is not None, gateway.output
    first = visitor.page.get_by_text("Nobody has signed in yet. The gateway printed the name and the password")
    visitor.page.goto(f"{gateway.url}/admin/login/")
    expect(first).to_be_visible()
    visitor.sign_in(gateway.url, told[2], name=told[1])
    answer = gateway.call("GET", "/admin/login/")
    assert answer.status == 200
    assert b"Nobody has signed in yet" not in answer.body


def add_the_upstream(page: Page, upstream: Upstream) -> None:
    """Home says what is missing and leads there; the server is looked at before it is saved."""
    page.get_by_role("link", name="Add an upstream").first.click()
    page.get_by_label("Name", exact=True).fill("gpu-1")
    page.get_by_label("URL", exact=True).fill(upstream.url)
    page.get_by_role("button", name="Check the server").click()
    expect(page.get_by_text("0.32.0").first).to_be_visible()
    expect(page.get_by_text("tiny-chat").first).to_be_visible()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".messagelist .success")).to_be_visible()


def issue_a_key(page: Page) -> str:
    """One field, and the secret is there to be copied. Returns it."""
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Keys").click()
    page.get_by_role("link", name="Issue a key").first.click()
    page.get_by_label("Name", exact=True).fill("first-key")
    page.get_by_role("button", name="Issue key").click()
    expect(page.get_by_text("Shown once").first).to_be_visible()
    secret = page.locator("#secret-1").inner_text()
    page.locator("[data-copy='secret-1']").click()
    expect(page.get_by_role("button", name="Copied").first).to_be_visible()
    assert secret in page.content()
    page.get_by_role("link", name="I have copied it").click()
    assert secret not in page.content()
    return secret


def call_and_find_it(page: Page, gateway: Gateway, secret: str) -> None:
    """The call works as soon as the upstream's models are known, and stands in the log."""
    wait_for(lambda: gateway.post("/v1/chat/completions", CHAT, key=secret).status == 200)
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Request logs").click()
    show_newest(page, "200")
    page.locator("#result_list tbody th a").first.click()
    expect(page.get_by_text("first-key").first).to_be_visible()
    expect(page.get_by_text("gpu-1").first).to_be_visible()


def see_why_another_failed(page: Page, gateway: Gateway, secret: str) -> None:
    """A model that nobody serves: the page says so, and who can mend it."""
    response = gateway.post("/v1/chat/completions", {**CHAT, "model": "no-such-model"}, key=secret)
    assert response.status == 404
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Request logs").click()
    show_newest(page, "404")
    page.locator("#result_list tbody th a").first.click()
    expect(page.get_by_role("heading", name="Why")).to_be_visible()
    expect(page.get_by_text(re.compile("no-such-model")).first).to_be_visible()


def show_newest(page: Page, status: str) -> None:
    """Reloads the log until its first row has this status."""
    first = page.locator("#result_list tbody tr").first

    def is_shown() -> bool:
        page.reload()
        return bool(first.count()) and status in first.inner_text()

    wait_for(is_shown, every=0.2)


def rotate(page: Page, gateway: Gateway, old: str) -> str:
    """A new secret, and the old one is over at once. Returns the new one."""
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Keys").click()
    page.get_by_role("link", name="first-key").click()
    page.get_by_role("link", name=re.compile("Rotate")).click()
    page.get_by_label("Now: old secrets stop working at once").check()
    page.get_by_role("button", name="Rotate").click()
    new = page.locator("#secret-1").inner_text()
    assert new != old
    wait_for(lambda: gateway.post("/v1/chat/completions", CHAT, key=new).status == 200)
    wait_for(lambda: gateway.post("/v1/chat/completions", CHAT, key=old).status == 401)
    page.get_by_role("link", name="I have copied it").click()
    return new


def kill(page: Page, gateway: Gateway, upstream: Upstream, secret: str) -> None:
    """A stream is running; it is cut, and the page says how many were and that every worker has answered."""
    vllm.serve(upstream, words=vllm.WORDS * 40, gap=0.1)
    stream = threading.Thread(target=lambda: gateway.post("/v1/chat/completions", {**CHAT, "stream": True}, key=secret))
    stream.start()
    wait_for(lambda: gateway.ready()["open_calls"] == 1)
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Keys").click()
    page.get_by_role("link", name="first-key").click()
    page.get_by_role("button", name=re.compile("Kill")).click()
    page.get_by_role("button", name=re.compile("Kill|Yes")).click()
    expect(page.get_by_text("Done", exact=True)).to_be_visible()
    expect(page.locator("dl.facts div", has_text="Running calls cut")).to_contain_text("1")
    stream.join(PATIENCE)
    assert not stream.is_alive()
    assert gateway.post("/v1/chat/completions", CHAT, key=secret).status == 401
