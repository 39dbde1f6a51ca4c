"""The pages that call, or are opened with, a key: the playground, and what the holder of a key sees."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import PASSWORD
from tests.browser.test_pages import look_at
from tests.browser.visitor import Visitor
from tests.support import vllm
from tests.support.gateway import Gateway
from tests.support.upstream import Upstream


def test_a_model_is_tried_in_the_playground(visitor: Visitor, gateway: Gateway) -> None:
    page = visitor.page
    visitor.sign_in(gateway.url, PASSWORD)
    page.goto(f"{gateway.url}/admin/playground/?model=tiny-chat")
    page.get_by_role("button", name="Send").click()
    state = page.locator("#play-state")
    expect(state).to_have_text("Cut at the most tokens")
    expect(page.locator("#play-ttft")).to_contain_text("ms")
    expect(page.locator("#play-answer")).not_to_be_empty()
    assert "sk-" not in page.locator("#play-curl").inner_text()
    visitor.expect(404)
    page.get_by_label("Model", exact=True).fill("no-such-model")
    page.get_by_role("button", name="Send").click()
    expect(state).to_have_text("Failed")
    expect(page.get_by_role("alert").filter(has_text="does not exist")).to_contain_text("the caller can mend it")
    look_at(visitor)


def test_a_fast_stream_is_shown_once_a_frame_and_timed_as_it_came(
    visitor: Visitor, gateway: Gateway, served: Upstream
) -> None:
    """The times would else be those of a browser that lays out the page anew for each token."""
    page = visitor.page
    visitor.sign_in(gateway.url, PASSWORD)
    page.goto(f"{gateway.url}/admin/playground/?model=tiny-chat")
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable")
    served.on("POST /v1/chat/completions", vllm.chat(words=vllm.WORDS * 200, finish="stop"))
    try:
        page.get_by_role("button", name="Send").click()
        expect(page.locator("#play-state")).to_have_text("Complete")
    finally:
        vllm.serve(served)
    told = {one["name"]: one["value"] for one in devtools.send("Performance.getMetrics")["metrics"]}
    assert told["LayoutCount"] < len(vllm.WORDS) * 100
    assert page.locator("#play-answer").text_content() == "".join(vllm.WORDS) * 200
    assert (page.locator("#play-response").text_content() or "").endswith("… (the rest is not shown)")


def test_the_holder_of_a_key_sees_it_and_closes_it(visitor: Visitor, gateway: Gateway) -> None:
    secret = gateway.make_key(key_alias="a-holders-key", max_budget=5, budget_duration="30d", rpm_limit=60)
    page = visitor.page
    page.goto(f"{gateway.url}/me/")
    look_at(visitor)
    page.get_by_label("Your key").fill(secret)
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", name="a-holders-key")).to_be_visible()
    expect(page.get_by_text("of 5.00 USD")).to_be_visible()
    assert secret not in page.content() + page.url
    look_at(visitor)
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_label("Your key")).to_be_visible()
