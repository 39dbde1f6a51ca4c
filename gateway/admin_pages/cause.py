"""What a cause is: why a call did not end well, in a sentence, and who can mend it. Knows no call."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

CALLER, ADMIN, UPSTREAM = "the caller", "the admin", "whoever runs the upstream"


@dataclass(frozen=True, slots=True)
class Reached:
    """A limit that had no room, and whose it is, as people call them.

    `until` is when its minute ended; None where a place was waited for, or where it is not known. `ceiling` is ""
    where the viewer is not told of it.
    """

    limit: str
    noun: str
    ceiling: str = ""
    until: datetime | None = None
    is_of_places: bool = False


@dataclass(frozen=True, slots=True)
class Cause:
    """Who can mend it, and a sentence on how.

    `whose` limit or block it was, where that is so: `key`, `team`, `user` or `end_user`. `place` is where else it is
    mended: at the call's `upstream`, in the list of `upstreams`, or in the `settings`. `short` is for a list.
    `reached` says which limit of a minute, or of calls at once, had no room.
    """

    who: str
    sentence: str
    whose: str = ""
    place: str = ""
    short: str = ""
    reached: Reached | None = None
