"""A look at a server that is no upstream yet: what an admin sees before saving it. Bounded in time, writes nothing.

What was seen is kept in memory for a while, so that an upstream that is saved then begins with it.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue

from django.core.exceptions import ValidationError
from django.utils import timezone

from upstreams import base_url, checking, posture
from upstreams.checking import Check
from upstreams.fields import Credential
from upstreams.posture import Finding, Posture

SECONDS = 12.0
KEPT_FOR = timedelta(minutes=2)
MOST_KEPT = 50
_QUESTION_SECONDS = 3.0
_at_once = threading.BoundedSemaphore(4)
"""A name server may take longer than any time-out of ours; no more threads than these wait for one."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What the server at the normalised `url` showed. `findings` is empty while it is not well.

    `savable` is false when the form itself would refuse the URL or the credential. `posture` is None where the server
    was not asked for it, or did not say.
    """

    url: str
    check: Check
    findings: tuple[Finding, ...] = ()
    savable: bool = True
    posture: Posture | None = None
    at: datetime = field(default_factory=timezone.now)


class _Kept:
    """The last looks of this process, by server and credential, of which only a digest is kept."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, bytes], Preview] = {}
        self._lock = threading.Lock()

    def keep(self, credential: str, seen: Preview) -> None:
        start = timezone.now() - KEPT_FOR
        with self._lock:
            self._seen[seen.url, _digest(credential)] = seen
            young = [(key, one) for key, one in self._seen.items() if one.at > start]
            self._seen = dict(young[-MOST_KEPT:])

    def take(self, url: str, credential: str) -> Preview | None:
        with self._lock:
            seen = self._seen.pop((url, _digest(credential)), None)
        return seen if seen is not None and seen.at > timezone.now() - KEPT_FOR else None


def _digest(credential: str) -> bytes:
    return hashlib.sha256(credential.encode()).digest()


_kept = _Kept()


def seen_of(url: str, credential: str) -> Preview | None:
    """What this process saw of the server in the last two minutes, asked with this credential; told once."""
    return _kept.take(url, credential)


def look(url: str, credential: str, *, seconds: float = SECONDS) -> Preview:
    """Checks a URL as an admin typed it, and takes at most `seconds`. Never raises."""
    try:
        url = base_url.normalised(url)
        Credential(credential).check()
    except ValidationError as error:
        return Preview(url, Check(healthy=False, text=" ".join(error.messages)), savable=False)
    if not _at_once.acquire(blocking=False):
        return Preview(url, Check(healthy=False, text="Other checks are still going on; try again in a moment."))
    seen: SimpleQueue[Preview] = SimpleQueue()
    threading.Thread(target=_look, args=(url, credential, seen), name="preview", daemon=True).start()
    try:
        return seen.get(timeout=seconds)
    except Empty:
        return Preview(url, Check(healthy=False, text=f"The check was given up after {seconds:.0f} s."))


def _look(url: str, credential: str, seen: SimpleQueue[Preview]) -> None:
    try:
        check = checking.check(url, credential, timeout=_QUESTION_SECONDS)
        found = posture.look(url, timeout=_QUESTION_SECONDS) if check.healthy else None
        findings = posture.findings(url, check.version, found) if check.healthy else []
        preview = Preview(url, check, tuple(findings), posture=found)
        _kept.keep(credential, preview)
        seen.put(preview)
    finally:
        _at_once.release()
