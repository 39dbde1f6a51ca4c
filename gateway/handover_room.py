"""Where bodies for the control plane are held while they come: strangers, people and keys have a share each.

So whoever shows no key that is known and has not signed in shuts nobody out who does, or has. Of one relay worker;
knows no request.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from enum import Enum

from gateway.body.request_body import STEP_BYTES
from gateway.body.room import Room
from gateway.errors import ControlPlaneBusy

IN_MEMORY_BYTES = 65_536
"""Of a body; a longer one is on disk: anybody may send one, on thousands of connections at once."""
UNCOUNTED_BYTES = STEP_BYTES
"""A body that is announced with at most so many is taken whatever else comes: log-ins, most forms and key calls pass
also while strangers fill their share. It costs little more than its connection, and connections have a bound."""


class Sender(Enum):
    """Who sends a body, as far as its head tells: somebody with a usable key, somebody who signed in, or anybody."""

    HOLDER = "holder"
    PERSON = "person"
    STRANGER = "stranger"


_holders = Room(memory=64_000_000, disk=256_000_000, small=IN_MEMORY_BYTES)
_people = Room(memory=8_000_000, disk=32_000_000, small=IN_MEMORY_BYTES)
_strangers = Room(memory=24_000_000, disk=96_000_000, small=IN_MEMORY_BYTES)


def place(length: int | None, sender: Sender) -> AbstractContextManager[Callable[[int], None]]:
    """What a body tells how many of its bytes have come so far; it raises ControlPlaneBusy where there is no room.

    `length` as `announced_length` tells.
    """
    if length is not None and length <= UNCOUNTED_BYTES:
        return nullcontext(_uncounted)
    rooms = {Sender.HOLDER: _holders, Sender.PERSON: _people, Sender.STRANGER: _strangers}
    return rooms[sender].place(ControlPlaneBusy)


def _uncounted(total: int) -> None:
    """A short body."""
