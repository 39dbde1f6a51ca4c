"""Limits that are counted as the relay counts them, for whoever asks what is in use."""

from __future__ import annotations

import pytest
from django.conf import settings

from gateway.limits_in_use import shared_counters
from keys.counters import Counters, MemoryCounters


def counted_here(monkeypatch: pytest.MonkeyPatch) -> Counters:
    """The store that processes share; with SQLite the memory of a relay, which no test of a page starts."""
    if not settings.EMBEDDED:
        return shared_counters()
    counters = MemoryCounters()
    monkeypatch.setattr("gateway.limits_in_use.ask_relay", counters.look)
    return counters
