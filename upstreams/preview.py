"""A look at a server that is no upstream yet: what an admin sees before saving it. Bounded in time, writes nothing."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from django.core.exceptions import ValidationError

from upstreams import base_url, checking, posture
from upstreams.checking import Check
from upstreams.fields import Credential
from upstreams.posture import Finding

SECONDS = 12.0
_QUESTION_SECONDS = 3.0
_at_once = threading.BoundedSemaphore(4)
"""A name server may take longer than any time-out of ours; no more threads than these wait for one."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What the server at the normalised `url` showed. `findings` is empty while it is not well.

    `savable` is false when the form itself would refuse the URL or the credential.
    """

    url: str
    check: Check
    findings: tuple[Finding, ...] = ()
    savable: bool = True


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
        seen.put(Preview(url, check, tuple(findings)))
    finally:
        _at_once.release()
