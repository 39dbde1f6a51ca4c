"""Somebody in front of a browser, who notes whatever a page should not do."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Page, Request, Response
from playwright.sync_api import TimeoutError as PlaywrightTimeout

AXE = Path(__file__).parent / "axe" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
FORBIDDEN = ("unsafe-inline", "unsafe-eval", "http:", "https:", "*")


class Visitor:
    """One browser context with one page. `complaints` are sentences about what went wrong.

    `host` is the one whose page was opened first; the pages may ask no other. Where a page asks whether to leave it,
    which `questions` counts, the visitor leaves, or `stays`.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.expected: set[int] = set()
        self.lost_connections = False
        self.host = ""
        self.questions = 0
        self.stays = False
        context.on("dialog", self._questioned)
        context.on("console", self._heard)
        context.on("weberror", lambda error: self.complain(f"an uncaught error: {error.error}"))
        context.on("request", self._asked)
        context.on("response", self._answered)

    def complain(self, sentence: str) -> None:
        self.complaints.append(f"{urlsplit(self.page.url).path}: {sentence}")

    def expect(self, status: int) -> None:
        """Makes an answer of this status no error: the browser's console notes each that is not 2xx or 3xx."""
        self.expected.add(status)

    def expect_lost_connections(self) -> None:
        """Makes a request that nobody answers no error."""
        self.lost_connections = True

    def sign_in(self, url: str, password: str, name: str = "admin") -> None:
        """Signs in at the gateway at this base URL."""
        self.page.goto(f"{url}/admin/login/?next=/admin/")
        self.page.get_by_label("Username").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in", exact=True).click()
        self.page.wait_for_url(f"{url}/admin/")

    def findings(self, *, colours: bool = True, all_else: bool = True) -> list[str]:
        """What axe-core says of the page as it is: its serious and critical findings, a sentence each."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(_axe())
        run = {"type": "tag", "values": RULES} if all_else else {"type": "rule", "values": ["color-contrast"]}
        options = {"runOnly": run, "resultTypes": ["violations"], "preload": False}  # it would write a style
        if all_else:
            options["rules"] = {"color-contrast": {"enabled": colours}}
        found = self.page.evaluate("options => axe.run(document, options).then(found => found.violations)", options)
        return [_sentence(one) for one in found if one["impact"] in {"serious", "critical"}]

    def is_wider_than_the_window(self) -> bool:
        """Whether one would have to scroll sideways, also once a busy browser has laid out the page anew."""
        try:
            self.page.wait_for_function("document.documentElement.scrollWidth <= window.innerWidth", timeout=10_000)
        except PlaywrightTimeout:
            return True
        return False

    def _questioned(self, dialog: Dialog) -> None:
        leaving = dialog.type == "beforeunload"
        self.questions += leaving
        if leaving and not self.stays:
            dialog.accept()
        else:
            dialog.dismiss()

    def _heard(self, message: ConsoleMessage) -> None:
        expected = any(f"status of {status}" in message.text for status in self.expected)
        expected = expected or (self.lost_connections and "net::ERR_" in message.text)
        if message.type in {"error", "warning"} and not expected:
            self.complain(f"the console says: {message.text}")

    def _asked(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in {"http", "https", "ws", "wss"}:
            return
        self.host = self.host or address.netloc
        if address.netloc != self.host:
            self.complain(f"asks another host: {request.url}")

    def _answered(self, response: Response) -> None:
        if response.headers.get("content-type", "").startswith("text/html"):
            policy = response.headers.get("content-security-policy", "")
            sources = policy.replace(";", " ").split()
            if "default-src 'none'" not in policy or any(word.strip("'") in FORBIDDEN for word in sources):
                self.complain(f"{response.url} has the policy {policy!r}")


@cache
def _axe() -> str:
    return AXE.read_text()


def _sentence(finding: dict[str, Any]) -> str:
    places = [json.dumps(node["target"]) + " " + node["html"][:120] for node in finding["nodes"][:4]]
    return f"{finding['impact']}: {finding['help']} ({finding['id']}) at {'; '.join(places)}"
