"""The pictures of the documentation, in light and dark: `pytest tests/browser --screenshots docs/images`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from tests.browser.conftest import PASSWORD
from tests.browser.visitor import Visitor
from tests.support.gateway import Gateway
from tests.support.patience import wait_for
from tests.support.upstream import Upstream

LIGHT_AND_DARK = ("light", "dark")
SHOWN = {
    "home": "/admin/",
    "keys": "/admin/keys/virtualkey/",
    "upstream": "/admin/upstreams/upstream/?q=h100-a",
    "call": "/admin/gateway/requestlog/?model=llama-3.3-70b",
    "usage": "/admin/usage/",
}
CHAT = {"model": "tiny-chat", "messages": [{"role": "user", "content": "Which way is the sea?"}], "stream": True}
FIRST_ROW = {"upstream", "call"}  # the page behind the first row of the list


@pytest.fixture(scope="module")
def directory(request: pytest.FixtureRequest) -> Path:
    wanted = request.config.getoption("--screenshots", default=None)
    if wanted is None:
        pytest.skip("takes pictures only when asked to, with --screenshots DIR")
    Path(wanted).mkdir(parents=True, exist_ok=True)
    return Path(wanted)


@pytest.fixture(scope="module")
def month(directory: Path, served: Upstream) -> Iterator[Gateway]:
    """A gateway with a month of traffic."""
    with Gateway(database="", GATEWAY_ADMIN_PASSWORD=PASSWORD) as gateway:
        gateway.manage("seed_demo", "--days", "30", "--calls", "9000", "--upstream", served.url)
        yield gateway


def call_often(gateway: Gateway) -> None:
    """Calls of this minute, so that the first page has something to show."""
    wait_for(lambda: gateway.post("/v1/chat/completions", CHAT, key=gateway.master_key).status == 200)
    for _ in range(12):
        gateway.post("/v1/chat/completions", CHAT, key=gateway.master_key)


def save(picture: bytes, path: Path) -> None:
    """Keeps a screenshot with a palette of 256 colours, which shows the same in a third of the bytes."""
    few = Image.open(BytesIO(picture)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


@pytest.mark.parametrize("theme", LIGHT_AND_DARK)
def test_the_pictures_of_the_documentation(directory: Path, browser: Browser, month: Gateway, theme: str) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 980}, color_scheme=theme)  # type: ignore[arg-type]
    visitor = Visitor(context)
    call_often(month)
    visitor.sign_in(month.url, PASSWORD)
    for name, path in SHOWN.items():
        visitor.page.goto(month.url + path)
        if name in FIRST_ROW:
            visitor.page.locator("#result_list tbody th a").first.click()
        if name == "home":
            expect(visitor.page.locator(".tile-figure").first).not_to_have_text(re.compile(r"^\s*0 "))
        visitor.page.wait_for_load_state("networkidle")
        save(visitor.page.screenshot(), directory / f"{name}-{theme}.png")
    context.close()
    assert not visitor.complaints
