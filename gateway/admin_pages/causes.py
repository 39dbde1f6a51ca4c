"""Why a call did not end well, in a sentence, and who can mend it: the caller, the admin, or who runs the upstream."""

from __future__ import annotations

from gateway.account.entry import Outcome
from gateway.admin_pages.cause import Cause
from gateway.admin_pages.cause_sentences import told_by
from gateway.admin_pages.cause_table import BY_OUTCOME, BY_TYPE, of_status


def cause_of(outcome: str, status: int | None, error_type: str | None, error_text: str | None = None) -> Cause | None:
    """None when the call ended well. `error_type` counts for what the gateway itself refused or failed at."""
    if outcome == Outcome.COMPLETED:
        return of_status(status or 0, error_type)
    precise = {Outcome.REFUSED, Outcome.UPSTREAM_FAILED, Outcome.GATEWAY_FAILED}
    found = None
    if outcome in precise:
        found = told_by(error_type, error_text or "") or BY_TYPE.get(error_type or "")
    return found or BY_OUTCOME.get(Outcome(outcome)) if outcome in set(Outcome) else found


def in_short(outcome: str, status: int | None, error_type: str | None, error_text: str | None = None) -> str:
    """The cause in a few words, for a list; empty when the call ended well."""
    cause = cause_of(outcome, status, error_type, error_text)
    return "" if cause is None else cause.short or (error_type or "")
