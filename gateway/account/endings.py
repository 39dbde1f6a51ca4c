"""The one rule by which calls are counted: each was answered, failed, was refused, or was cut by us.

Every figure, chart, list and file of the admin, and the sums that they come from, count by it; `docs/admin.md` says it
to people. Knows no table.
"""

from __future__ import annotations

from enum import StrEnum

from gateway.account.entry import Outcome


class Ending(StrEnum):
    """What became of a call, as far as figures tell it."""

    ANSWERED = "answered"  # to its end, or as long as its client stayed
    FAILED = "failed"  # the upstream or the gateway did not do it; what an upstream answered with 400 and more too
    REFUSED = "refused"  # the gateway did its work: the key, a limit, a model, the body
    CUT = "cut"  # while it was open: its key was refused, or the gateway stopped


FINE = (Outcome.COMPLETED, Outcome.CLIENT_DISCONNECTED)
"""The outcomes of calls that were answered, unless the answer's status was 400 or more."""
FAILING = (Outcome.UPSTREAM_FAILED, Outcome.GATEWAY_FAILED, Outcome.LOST)
CUTTING = (Outcome.REVOKED, Outcome.DRAINED)
OTHERWISE = (Outcome.REFUSED, *CUTTING, *FAILING)
"""Those whose calls were not answered, whatever the status."""
FIRST_BAD_STATUS = 400

# Each call is asked about, and a member of an enumeration is looked up slowly.
_ANSWERED, _FAILED = Ending.ANSWERED, Ending.FAILED
_BY_OUTCOME: dict[object, Ending] = {
    Outcome.REFUSED: Ending.REFUSED,
    **dict.fromkeys(CUTTING, Ending.CUT),
    **dict.fromkeys(FINE, Ending.ANSWERED),
}


def ending_of(outcome: object, status: int | None) -> Ending:
    """How a call counts that has ended so; an outcome that is not known here is a failure."""
    found = _BY_OUTCOME.get(outcome, _FAILED)
    return _FAILED if found is _ANSWERED and status is not None and status >= FIRST_BAD_STATUS else found


def failed_of(errors: int, refused: int, cut: int) -> int:
    """How many failed of those that were not answered, as the sums keep them. What was summed before a column was there
    counts as failed."""
    return max(0, errors - refused - cut)


def failed_share(*, answered: int, failed: int) -> float | None:
    """The part of the calls that were let through and not cut which failed, 0 to 1; None where there were none."""
    served = answered + failed
    return failed / served if served else None
