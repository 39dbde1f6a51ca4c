"""What the settings leave open, as findings with one remedy each: for the doctor, its page, and the first page.

The sentences are those of our own system checks of a deployment. What Django would say beside them is silenced in the
settings, each with the check of ours that says it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.conf import settings
from django.core.checks import ERROR, CheckMessage, Tags, run_checks

from gateway.doctor import BAD, GOOD, QUIET, WARNING, Finding

TRIAL = frozenset({"gateway.W001", "gateway.W002", "gateway.W005"})
"""As everybody begins. Whoever has loosened something else did so on purpose, and should not forget it."""

NAME = "Settings"


def loose_settings() -> list[Finding]:
    """WARNING what should not stay so, QUIET what is fine for a trial and not for production; the former first."""
    said = run_checks(tags=[Tags.security], include_deployment_checks=True)
    found = list(_findings(sorted(_heard(said), key=lambda message: str(message.id))))
    return sorted(found, key=lambda finding: finding.kind == QUIET)


def settings_look() -> Iterator[Finding]:
    """For the doctor: the same, and what the other system checks find."""
    others = [message for message in _heard(run_checks()) if message.id]
    found = [*loose_settings(), *_findings(others)]
    yield from found or [Finding(NAME, GOOD, "They are fit for production.")]


def _heard(messages: Iterable[CheckMessage]) -> list[CheckMessage]:
    return [message for message in messages if message.id not in settings.SILENCED_SYSTEM_CHECKS]


def _findings(messages: Iterable[CheckMessage]) -> Iterator[Finding]:
    for message in messages:
        code = str(message.id or "")
        kind = BAD if message.level >= ERROR else QUIET if code in TRIAL else WARNING
        yield Finding(NAME, kind, str(message.msg), str(message.hint or ""), code)
