"""What a visitor notices of a page, on a page that nobody serves."""

from __future__ import annotations

from playwright.sync_api import Browser

from tests.browser.visitor import Visitor

STRANGE = '<img src="http://elsewhere.test/pixel.png"><img src="/own.png">'


def test_a_page_that_asks_another_host_is_complained_of_wherever_it_was_opened(browser: Browser) -> None:
    context = browser.new_context()
    context.route("**/*", lambda route: route.fulfill(body=STRANGE, content_type="text/html"))
    visitor = Visitor(context)
    visitor.page.goto("http://gateway.test/me/")
    context.close()
    assert visitor.host == "gateway.test"
    assert "/me/: asks another host: http://elsewhere.test/pixel.png" in visitor.complaints
    assert not [one for one in visitor.complaints if "asks another host" in one and "own.png" in one]
