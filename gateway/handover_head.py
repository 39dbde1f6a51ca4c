"""What the head of a request for the control plane decides before its body is read: how much of it the relay takes.

The control plane judges who calls, for itself and again; here a stranger is only kept from filling memory and disk.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.conf import settings
from django.http import parse_cookie

from gateway.handover_room import Sender
from keys.authentication import Look, check_usable, recognise
from keys.errors import AuthenticationRefused
from keys.identity import ANONYMOUS
from keys.registry import Directory
from people import proof

MAX_BYTES = 10_000_000
STRANGERS_BYTES = 1_000_000
"""Of a body whose sender shows neither a usable key nor a session: a log-in form has a hundred."""

_WANTS_KEY = re.compile(
    r"/(?:key|team|user|customer|end_user|model|model_group|spend|global|v1/model|v2/(?:key|team|user|model))/|/me$"
)


def wants_key(path: str) -> bool:
    """Whether the path (decoded) is one of the key API and its kin, which answer 401 to whoever has no key."""
    return _WANTS_KEY.match(path) is not None


class Allowance(NamedTuple):
    """How many bytes of the body are taken, and whose share of the room they take."""

    limit: int
    sender: Sender = Sender.STRANGER


def allowance(path: str, environ: Mapping[str, Any], directory: Directory, look: Look) -> Allowance:
    """What is taken of the body. `look` as `keys.authentication.holder_of` has it.

    A key that is blocked or expired as far as memory knows is a stranger's: that may be over for a second. A session's
    cookie alone makes nobody known, as anybody can write one; what was signed beside it does (`people.proof`). Raises
    AuthenticationRefused and DatabaseAway where the path wants a key and there is none that anybody knows.
    """
    if not wants_key(path):
        cookies = parse_cookie(environ.get("HTTP_COOKIE", ""))
        if settings.SESSION_COOKIE_NAME not in cookies:
            return Allowance(STRANGERS_BYTES)
        return Allowance(MAX_BYTES, Sender.PERSON if proof.is_shown(cookies) else Sender.STRANGER)
    identity = recognise(environ, directory, look)
    try:
        check_usable(identity, time.time())
    except AuthenticationRefused:
        return Allowance(STRANGERS_BYTES)
    return Allowance(STRANGERS_BYTES) if identity is ANONYMOUS else Allowance(MAX_BYTES, Sender.HOLDER)
