"""Asks whether a call would be allowed, and gives the answer that its caller would get."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.http import HttpResponse

from common.admin import BAD
from gateway.rehearsal.outlook import outlook_of, standings_of
from gateway.rehearsal.plane import RehearsalPlane
from gateway.rehearsal.rehearsal import Rehearsal, Wanted
from gateway.rehearsal.steps import Step, steps_of
from keys.counters import Counters
from keys.identity import Identity
from keys.shared_use import without_amounts
from upstreams.errors import NoUpstream

_TOLD = ("retry-after", "x-ratelimit-")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the call would be allowed. `status`, `headers` and `body` are the refusal's; empty for one that is not
    refused, whose answer is the upstream's. `doubt` says of such a call, as a clause, why it may have no answer, or no
    answer at once."""

    allowed: bool
    steps: Sequence[Step]
    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: str = ""
    doubt: str = ""

    @property
    def refused_by(self) -> str:
        """The rule that refused it."""
        return next((step.name for step in self.steps if step.word == "Refused"), "")


def judge(wanted: Wanted, identity: Identity, counters: Counters | None = None, *, sees_all: bool = True) -> Verdict:
    """Whether this call with this key would be allowed now. Takes nothing from any limit.

    `counters`: those to look at, where it is not the store of this process's settings. `sees_all`: what owners and end
    users use is told too. Raises NoCall, django.db.Error.
    """
    plane = RehearsalPlane(counters)
    rehearsal = Rehearsal(wanted, identity, plane)
    response = rehearsal.answer()
    looking = plane.looking
    steps = steps_of(rehearsal, is_partial=looking.is_partial, used=looking.used, sees_all=sees_all)
    if rehearsal.error is None:
        outlook = outlook_of(rehearsal, plane)
        return Verdict(allowed=True, steps=[*steps, *outlook.steps], doubt=outlook.doubt)
    if isinstance(rehearsal.error, NoUpstream):
        lines = tuple(map(str, standings_of(rehearsal, plane)))
        steps = [replace(step, lines=lines) if step.kind == BAD else step for step in steps]
    content = response.content if isinstance(response, HttpResponse) else b""
    told = _TOLD if sees_all else _TOLD[:1]  # what is left may be of an owner's limit
    return Verdict(
        allowed=False,
        steps=steps,
        status=response.status_code,
        headers=[(name, value) for name, value in response.items() if name.lower().startswith(told)],
        body=_body(content, sees_all=sees_all),
    )


def _body(content: bytes, *, sees_all: bool) -> str:
    told = json.loads(content)
    if not sees_all:
        told["error"]["message"] = without_amounts(told["error"]["message"])
    return json.dumps(told, indent=2, ensure_ascii=False)
