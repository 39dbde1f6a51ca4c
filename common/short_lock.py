"""A lock for a few steps in memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from gevent.monkey import get_original

short_lock: Callable[[], AbstractContextManager[bool]] = get_original("_thread", "allocate_lock")
"""Makes one: the system's own, also where gevent puts another in its place, which costs microseconds.

Whoever waits for it stops the whole thread, greenlets and all: hold it only for steps that neither wait nor switch
nor log, and never where something that is collected as garbage takes it again.
"""
