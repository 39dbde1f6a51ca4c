"""Asks whether a call would be allowed, starts a capture, makes a call, reads its payload and stops the capture."""

from __future__ import annotations

import json
import urllib.request

from playwright.sync_api import expect

from tests.browser.conftest import PASSWORD
from tests.browser.test_pages import look_at
from tests.browser.visitor import Visitor
from tests.support.gateway import Gateway
from tests.support.patience import PATIENCE, wait_for

MODEL = "tried-out"


def call(gateway: Gateway) -> str | None:
    """What the header says of a call."""
    request = urllib.request.Request(
        f"{gateway.url}/vllm/v1/chat/completions",
        json.dumps({"model": MODEL}).encode(),
        {"Authorization": f"Bearer {gateway.master_key}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            told: str | None = answer.headers["x-gateway-capture"]
    except urllib.error.HTTPError as error:
        told = error.headers["x-gateway-capture"]
    return told


def test_a_question_and_a_capture_are_sound(visitor: Visitor, gateway: Gateway) -> None:
    visitor.sign_in(gateway.url, PASSWORD)
    page = visitor.page
    ask_before_a_call(visitor, gateway)
    page.goto(f"{gateway.url}/admin/gateway/payloadcapture/add/")
    page.get_by_label("Model", exact=True).fill(MODEL)
    page.get_by_label("Reason").fill("Finding out what it sends.")
    page.get_by_role("button", name="Start").click()
    wait_for(lambda: call(gateway) == "on", every=0.2)
    page.get_by_text("The capture has started.").wait_for()
    read = page.get_by_role("link", name="Read the payload")
    wait_for(lambda: page.reload() and read.count(), every=0.2)
    look_at(visitor)
    read.first.click()
    assert MODEL in page.locator("pre").first.inner_text()
    look_at(visitor)
    page.go_back()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("The capture has stopped.").wait_for()


def ask_before_a_call(visitor: Visitor, gateway: Gateway) -> None:
    """What a new key may, and what it may not: to name an upstream."""
    page, name = visitor.page, "asked-about"
    gateway.make_key(key_alias=name)
    page.goto(f"{gateway.url}/admin/policy-check/")
    assert page.locator("#known-keys option").first.get_attribute("value") == name
    page.get_by_label("Virtual key").fill(name)
    page.get_by_label("Model", exact=True).fill("tiny-chat")
    page.get_by_role("button", name="Check").click()
    verdict = page.locator("#verdict")
    expect(verdict).to_contain_text("Allowed")
    assert page.locator(".policy-step").count() > 10
    look_at(visitor)
    page.get_by_label("Route").fill("/upstreams/h100-a/v1/chat/completions")
    page.get_by_role("button", name="Check").click()
    expect(verdict).to_have_text("Refused Named upstream")
    expect(page.get_by_role("region", name="What the caller gets")).to_contain_text("HTTP 403")
