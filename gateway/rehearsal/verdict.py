"""Asks whether a call would be allowed, and gives the answer that its caller would get."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from django.http import HttpResponse

from gateway.rehearsal.plane import RehearsalPlane
from gateway.rehearsal.rehearsal import Rehearsal, Wanted
from gateway.rehearsal.steps import Step, steps_of
from keys.counters import Counters
from keys.identity import Identity

_TOLD = ("retry-after", "x-ratelimit-")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the call would be allowed. `status`, `headers` and `body` are the refusal's; empty for one that is not
    refused, whose answer is the upstream's."""

    allowed: bool
    steps: Sequence[Step]
    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: str = ""

    @property
    def refused_by(self) -> str:
        """The rule that refused it."""
        return next((step.name for step in self.steps if step.word == "Refused"), "")


def judge(wanted: Wanted, identity: Identity, counters: Counters | None = None) -> Verdict:
    """Whether this call with this key would be allowed now. Takes nothing from any limit.

    `counters`: those to look at, where it is not the store of this process's settings. Raises NoCall, django.db.Error.
    """
    plane = RehearsalPlane(counters)
    rehearsal = Rehearsal(wanted, identity, plane)
    response = rehearsal.answer()
    steps = steps_of(rehearsal, is_partial=plane.looking.is_partial, used=plane.looking.used)
    if rehearsal.error is None:
        return Verdict(allowed=True, steps=steps)
    content = response.content if isinstance(response, HttpResponse) else b""
    return Verdict(
        allowed=False,
        steps=steps,
        status=response.status_code,
        headers=[(name, value) for name, value in response.items() if name.lower().startswith(_TOLD)],
        body=json.dumps(json.loads(content), indent=2, ensure_ascii=False),
    )
