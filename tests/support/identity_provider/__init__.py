"""A real OpenID provider: django-oauth-toolkit in a process of its own, with its log-in and its question for consent.

with running(redirect="http://testserver/admin/oidc/callback/") as provider:
    provider.knows("ada", groups=["leads"])
    back = Person("ada").agrees(address)   # where the provider sends the browser, or None

Faults that no real provider shows are those of `tests/support/lying_provider.py`.
"""

from __future__ import annotations

import html
import http.cookiejar
import json
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin

from tests.support.patience import PATIENCE

CLIENT, SECRET, PASSWORD = "gateway", "the client's secret", "a password at the provider"
ROOT = Path(__file__).resolve().parents[3]


class IdentityProvider:
    """The provider at this address."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer

    def knows(
        self,
        username: str,
        *,
        groups: Sequence[str] = (),
        email: str = "",
        is_active: bool = True,
        groups_in: str = "id_token",
        **claims: Any,
    ) -> None:
        """Makes or changes one of its people. `groups_in` is `id_token`, or `userinfo` for nowhere else."""
        said = {"username": username, "email": email or f"{username}@example.com", "is_active": is_active}
        body = json.dumps({**said, "groups": list(groups), "groups_in": groups_in, "claims": claims}).encode()
        with urllib.request.urlopen(f"{self.issuer}/people/", body, timeout=PATIENCE):
            pass


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


class Person:
    """Somebody with a browser of their own at the provider."""

    def __init__(self, username: str = "ada") -> None:
        self.username = username
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._browser = urllib.request.build_opener(cookies, _NoRedirects)

    def agrees(self, address: str) -> str | None:
        """Where the browser is sent in the end, having signed in and agreed; None where the provider keeps it."""
        return self._answers(address, allow="Authorize")

    def declines(self, address: str) -> str | None:
        """The same, without agreeing."""
        return self._answers(address)

    def _answers(self, address: str, **answer: str) -> str | None:
        place, page = self._get(address)
        if "/login/" in place:
            place, page = self._post(place, page, username=self.username, password=PASSWORD)
            if page is None:
                place, page = self._get(place)
        if page is not None and "authorizationForm" in page:
            place, page = self._post(place, page, **answer)
        return place if page is None else None

    def _get(self, address: str) -> tuple[str, str | None]:
        place, page = self._visit(address)
        return self._visit(place) if page is None and "/login/" in place else (place, page)

    def _post(self, address: str, page: str | None, **fields: str) -> tuple[str, str | None]:
        hidden = re.findall(r'<input type="hidden" name="([^"]+)"(?: value="([^"]*)")?', page or "")
        return self._visit(address, {**{name: html.unescape(value) for name, value in hidden}, **fields})

    def _visit(self, address: str, fields: dict[str, str] | None = None) -> tuple[str, str | None]:
        """The page at the address; or the address it leads on to, and None."""
        try:
            with self._browser.open(address, fields and urlencode(fields).encode(), timeout=PATIENCE) as answer:
                return address, answer.read().decode()
        except urllib.error.HTTPError as answer:
            with answer:
                onwards = answer.headers["Location"]
                return (urljoin(address, onwards), None) if onwards else (address, answer.read().decode())


@contextmanager
def running(redirect: str) -> Iterator[IdentityProvider]:
    """A provider that answers until the end, and sends people back to this address only."""
    with tempfile.TemporaryDirectory(prefix="vgw-provider-") as directory:
        command = [sys.executable, "-m", "tests.support.identity_provider.server", directory, redirect]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                address = process.stdout.readline()
                assert address, "the provider did not start"
                yield IdentityProvider(address.decode().strip())
            finally:
                process.stdin.close()
