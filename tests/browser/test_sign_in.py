"""Single sign-on in a real browser: a way there and back that the Content-Security-Policy lets pass."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, expect

from tests.support.gateway import Gateway
from tests.support.openid_provider import CLIENT, SECRET, running


def test_a_person_signs_in_at_another_host_and_comes_back(browser: Browser, chromium: str) -> None:
    with running() as provider:
        settings = {
            "GATEWAY_OIDC_ISSUER": provider.issuer,
            "GATEWAY_OIDC_CLIENT_ID": CLIENT,
            "GATEWAY_OIDC_CLIENT_SECRET": SECRET,
            "GATEWAY_OIDC_ROLES": "leads=Auditor",
            "GATEWAY_OIDC_NAME": "Example SSO",
        }
        with Gateway(database="", **settings) as gateway:
            provider.redirect = f"{gateway.url}/admin/oidc/callback/"
            provider.claims |= {"groups": ["leads"], "email": "ada@example.com", "email_verified": True}
            page = browser.new_page()
            complaints: list[str] = []
            page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
            page.goto(f"{gateway.url}/admin/keys/virtualkey/")
            page.get_by_role("link", name="Sign in with Example SSO").click()

            expect(page).to_have_url(re.compile("/admin/keys/virtualkey/"))
            expect(page.locator("body")).to_contain_text("ada@example.com")
            assert complaints == []
            page.close()
