"""A real headless Chromium before gateways on real sockets. Skipped, with a message, where there is no chromium.

`--screenshots DIR` takes the pictures that the documentation shows.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.visitor import Visitor
from tests.support import databases, vllm
from tests.support.gateway import Gateway
from tests.support.patience import PATIENCE
from tests.support.upstream import Upstream

expect.set_options(PATIENCE * 1000)
PASSWORD = "a-long-password-for-the-tests"
UNSEEDED = """
from uuid import uuid4
from django.utils import timezone
from gateway.capture.models import CapturedPayload, PayloadCapture
from upstreams import crypto
from upstreams.models import ModelAlias, Routing

now = timezone.now()
body = crypto.encrypt_bytes(b'{"model": "assistant"}')
ModelAlias.objects.create(name="assistant", stands_for="llama-3.3-70b")
Routing.objects.get_or_create(pk=1)
capture = PayloadCapture.objects.create(model="assistant", reason="To look at.", ends_at=now, stopped_at=now)
CapturedPayload.objects.create(
    call_id=uuid4(), capture=capture, captured_at=now, request_body=body, request_bytes=22, response_body=body,
    response_bytes=22,
)
"""
"""Makes a row of each table that the demo leaves empty."""
LONG_NAMED = """
import time
from keys.models import Owner, Team, VirtualKey
from gateway.account.log_store import LogStore
from tests.support.entries import an_entry

team = Team.objects.create(team_id="t" * 64, alias="T" * 200)
owner = Owner.objects.create(user_id="o" * 120, alias="O" * 200)
key, _ = VirtualKey.objects.issue(name="k" * 204, team_id=team.team_id, user_id=owner.user_id)
LogStore().store([an_entry(
    at=time.time(), key_id=key.pk, key_name=key.name, team_id=team.team_id, user_id=owner.user_id, end_user="e" * 200,
    model="m" * 200, served_model=None, upstream_id=None, upstream_name=None, outcome="refused", status=404, cost=None,
    prompt_tokens=9_000_000, completion_tokens=0, error_type="NotFoundError",
    error_text="The model '" + "m" * 200 + "' does not exist.",
)], print)
"""
"""Makes a call whose names are as long as whoever gave them liked: they widen no page."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", type=Path, metavar="DIR", help="take the documentation's pictures into DIR")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the system's chromium."""
    if databases.on_postgresql():
        pytest.skip("a browser sees no difference between databases: these run with SQLite")
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        pytest.skip("there is no chromium on this machine (Debian: apt-get install chromium)")
    return found


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """Ends with each module: playwright's event loop would forbid the other tests their database."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    """Somebody with a browser, whom nothing may go wrong: a console error or a request elsewhere fails the test."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 800},
        timezone_id="Europe/Berlin",
        locale="en-GB",
        color_scheme="light",
        reduced_motion="reduce",  # colours are looked at when they have changed
    )
    context.set_default_timeout(PATIENCE * 1000)
    visitor = Visitor(context)
    yield visitor
    context.close()
    assert not visitor.complaints, "\n".join(visitor.complaints)


@pytest.fixture
def page(visitor: Visitor) -> Page:
    """The visitor's page."""
    return visitor.page


@pytest.fixture(scope="session")
def served(chromium: str) -> Iterator[Upstream]:
    """A vLLM server, scripted."""
    with Upstream() as upstream:
        vllm.serve(upstream)
        yield upstream


@pytest.fixture(scope="session")
def gateway(served: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with a month of traffic."""
    with Gateway(database="", GATEWAY_ADMIN_PASSWORD=PASSWORD) as gateway:
        gateway.manage("seed_demo", "--days", "7", "--calls", "2000", "--upstream", served.url)
        gateway.shell(UNSEEDED)
        gateway.shell(LONG_NAMED)
        yield gateway
