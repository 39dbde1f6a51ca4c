"""Limits that are counted in this process, as one relay worker does, for whoever asks what is in use."""

from __future__ import annotations

import pytest

from keys.counters import MemoryCounters


def counted_here(monkeypatch: pytest.MonkeyPatch) -> MemoryCounters:
    """Stands in for the relay, which no test of a page starts, and for the store that processes share."""
    counters = MemoryCounters()
    monkeypatch.setattr("gateway.limits_in_use.ask_relay", counters.look)
    monkeypatch.setattr("gateway.limits_in_use.shared_counters", lambda: counters)
    return counters
