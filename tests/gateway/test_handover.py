"""What the relay refuses itself of what is for the control plane."""

from __future__ import annotations

import json

import pytest
from django.test import RequestFactory

from gateway import handover
from gateway.body.room import Room


def test_bodies_beyond_what_is_held_at_once_are_refused(monkeypatch: pytest.MonkeyPatch, rf: RequestFactory) -> None:
    monkeypatch.setattr(handover, "_room", room := Room(memory=10, disk=0, small=100))
    response = handover.hand_over(rf.post("/admin/login/", {"username": "somebody"}))
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert json.loads(response.content)["error"]["type"] == "control_plane_busy"  # type: ignore[attr-defined]
    assert room.held == (0, 0)
