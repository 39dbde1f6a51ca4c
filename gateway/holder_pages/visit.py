"""Whose page is open in a session: the ids of a key and of the secret that was shown, and when. Never the secret.

A visit ends an hour after it began, and with the key: it is looked up anew for each page, as for each call.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from common.errors import GatewayError, InvalidRequest
from gateway.holder_pages.refusals import in_words
from keys.authentication import authenticate, check_usable
from keys.errors import KeyUnknown
from keys.identity import MASTER, Identity
from keys.models import Secret, VirtualKey
from keys.registry import DatabaseDirectory

SESSION_KEY = "key_holder"
LONGEST = 3_600.0
"""Seconds."""


class VisitOver(Exception):
    """There is no page any more. The text is a sentence for the holder, "" where nothing was open."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A key whose holder looks at it. `ends_at` in unix seconds."""

    key: VirtualKey
    identity: Identity
    ends_at: float


def begin(request: HttpRequest, secret: str, now: float | None = None) -> None:
    """Opens the page of the key that has this secret. Raises GatewayError with a sentence."""
    at = time.time() if now is None else now
    environ = {"HTTP_AUTHORIZATION": f"Bearer {secret}"}
    identity = authenticate(environ, DatabaseDirectory(), at, _nothing)
    if identity is MASTER:
        raise InvalidRequest("The master key has neither limits nor usage of its own. Paste a virtual key.")
    if identity.key_id is None or identity.secret_id is None:
        raise KeyUnknown
    request.session.cycle_key()  # a session that somebody else knows must not become the holder's
    request.session[SESSION_KEY] = {"key": identity.key_id, "secret": identity.secret_id, "at": at}


def current(request: HttpRequest, now: float | None = None) -> Visit:
    """The visit of this session. Raises VisitOver, and forgets one that is over."""
    at = time.time() if now is None else now
    kept: Any = request.session.get(SESSION_KEY)
    if kept is None:
        raise VisitOver("")
    try:
        return _looked_up(kept, at)
    except VisitOver:
        end(request)
        raise


def end(request: HttpRequest) -> None:
    """Closes the page; who is signed in to the admin in the same browser stays so."""
    request.session.pop(SESSION_KEY, None)


def _looked_up(kept: dict[str, Any], at: float) -> Visit:
    ends_at = kept["at"] + LONGEST
    if not kept["at"] <= at < ends_at:
        raise VisitOver("The page was open for an hour. Paste the key again to go on.")
    digest = Secret.objects.filter(pk=kept["secret"], key_id=kept["key"]).values_list("digest", flat=True).first()
    identity = None if digest is None else DatabaseDirectory().find(digest)
    key = VirtualKey.objects.filter(pk=kept["key"]).first()
    if identity is None or key is None:
        raise VisitOver("The key is not there any more: it was deleted, or has been given another secret.")
    try:
        check_usable(identity, at)
    except GatewayError as refusal:
        raise VisitOver(in_words(refusal)) from refusal
    return Visit(key, identity, ends_at)


def _nothing() -> None:
    """The directory asks the database itself."""
