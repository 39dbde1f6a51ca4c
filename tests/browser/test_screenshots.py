"""The pictures of the documentation, in light and dark: `pytest tests/browser --screenshots docs/images`."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import PASSWORD
from tests.browser.visitor import Visitor
from tests.support.gateway import Gateway

LIGHT_AND_DARK = ("light", "dark")
SHOWN = {
    "home": "/admin/",
    "keys": "/admin/keys/virtualkey/",
    "upstream": "/admin/upstreams/upstream/?q=h100-a",
    "call": "/admin/gateway/requestlog/",
    "usage": "/admin/usage/",
}
FIRST_ROW = {"upstream", "call"}  # the page behind the first row of the list


@pytest.fixture
def directory(request: pytest.FixtureRequest) -> Path:
    wanted = request.config.getoption("--screenshots", default=None)
    if wanted is None:
        pytest.skip("takes pictures only when asked to, with --screenshots DIR")
    Path(wanted).mkdir(parents=True, exist_ok=True)
    return Path(wanted)


@pytest.mark.parametrize("theme", LIGHT_AND_DARK)
def test_the_pictures_of_the_documentation(directory: Path, browser: Browser, gateway: Gateway, theme: str) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 820}, color_scheme=theme)  # type: ignore[arg-type]
    visitor = Visitor(context)
    visitor.sign_in(gateway.url, PASSWORD)
    for name, path in SHOWN.items():
        visitor.page.goto(gateway.url + path)
        if name in FIRST_ROW:
            visitor.page.locator("#result_list tbody th a").first.click()
        visitor.page.wait_for_load_state("networkidle")
        visitor.page.screenshot(path=directory / f"{name}-{theme}.jpg", type="jpeg", quality=72)
    context.close()
    assert not visitor.complaints
