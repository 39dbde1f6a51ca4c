"""Single sign-on in a real browser with a real provider: a way there and back that the policies let pass."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, ConsoleMessage, expect

from tests.support.gateway import Gateway
from tests.support.identity_provider import CLIENT, PASSWORD, SECRET, running
from tests.support.ports import unused_port


def is_ours(said: ConsoleMessage, gateway: Gateway) -> bool:
    """Whether it is an error of the gateway's; the provider's pages have faults of their own."""
    return said.type == "error" and said.location["url"].startswith(gateway.url)


def test_a_person_signs_in_at_another_host_and_comes_back(browser: Browser, chromium: str) -> None:
    port = unused_port()
    with running(redirect=f"http://127.0.0.1:{port}/admin/oidc/callback/") as provider:
        provider.knows("ada", groups=["leads"])
        settings = {
            "GATEWAY_OIDC_ISSUER": provider.issuer,
            "GATEWAY_OIDC_CLIENT_ID": CLIENT,
            "GATEWAY_OIDC_CLIENT_SECRET": SECRET,
            "GATEWAY_OIDC_ROLES": "leads=Auditor",
            "GATEWAY_OIDC_NAME": "Example SSO",
        }
        with Gateway(database="", port=port, **settings) as gateway:
            page = browser.new_page()
            complaints: list[str] = []
            page.on("console", lambda said: complaints.append(said.text) if is_ours(said, gateway) else None)
            page.goto(f"{gateway.url}/admin/keys/virtualkey/")
            page.get_by_role("link", name="Sign in with Example SSO").click()
            page.get_by_label("Username").fill("ada")
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in").click()
            page.get_by_role("button", name="Authorize").click()

            expect(page).to_have_url(re.compile("/admin/keys/virtualkey/"))
            expect(page.locator("body")).to_contain_text("ada@example.com")
            assert complaints == []
            page.close()
