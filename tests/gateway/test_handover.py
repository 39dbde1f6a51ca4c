"""What the relay does itself with what is for the control plane: refuses it, counts it, ends its connection."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import RequestFactory
from django.utils import timezone

from gateway import handover, handover_room
from gateway.body.room import Room
from gateway.handover_room import IN_MEMORY_BYTES, UNCOUNTED_BYTES
from gateway.plane import RelayPlane
from gateway.refused_unread import RefusedUnread
from keys.models import VirtualKey
from keys.registry import KeyRegistry
from people import proof
from tests.support import answers
from tests.support.ports import unused_port
from tests.support.upstream import Upstream
from upstreams.pool import UpstreamPool
from upstreams.transport import KEEP_IDLE_SECONDS

pytestmark = [pytest.mark.sockets, pytest.mark.django_db]
FORM = "application/x-www-form-urlencoded"
LARGE = b"x" * (IN_MEMORY_BYTES + 1)
SOME = b"x" * (UNCOUNTED_BYTES + 1)


@pytest.fixture
def control() -> Iterator[Upstream]:
    with Upstream() as control:
        control.on("*", answers.json(200, {}))
        yield control


@pytest.fixture
def plane(control: Upstream, monkeypatch: pytest.MonkeyPatch) -> Iterator[RelayPlane]:
    monkeypatch.setattr(handover, "plane", plane := RelayPlane(KeyRegistry(), UpstreamPool()))
    plane.control_url = control.url
    yield plane
    plane.stop()
    plane.control.forget(control.url)


@pytest.fixture
def no_room_for_strangers(monkeypatch: pytest.MonkeyPatch) -> Room:
    room = Room(memory=10, disk=10, small=IN_MEMORY_BYTES)
    monkeypatch.setattr(handover_room, "_strangers", room)
    return room


def _post(rf: RequestFactory, path: str, body: bytes, key: str = "", cookie: str = "") -> Any:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    response = handover.hand_over(rf.post(path, body, FORM, headers={**headers, "Cookie": cookie}))
    if response.streaming:
        b"".join(response)  # type: ignore[call-overload]
        response.close()
    return response


@pytest.mark.parametrize("cookie", ["", f"{django_settings.SESSION_COOKIE_NAME}=x"])
@pytest.mark.parametrize("body", [SOME, LARGE])
def test_bodies_beyond_what_is_held_of_strangers_are_refused(
    plane: RelayPlane, no_room_for_strangers: Room, rf: RequestFactory, body: bytes, cookie: str
) -> None:
    response = _post(rf, "/admin/login/", body, cookie=cookie)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert json.loads(response.content)["error"]["type"] == "control_plane_busy"
    assert no_room_for_strangers.held == (0, 0)


@pytest.mark.parametrize("body", [SOME, LARGE])
def test_strangers_keep_nobody_out_who_has_a_key(
    plane: RelayPlane, no_room_for_strangers: Room, rf: RequestFactory, body: bytes
) -> None:
    assert _post(rf, "/key/generate", body, django_settings.MASTER_KEY).status_code == 200


@pytest.mark.parametrize("body", [SOME, LARGE])
def test_strangers_keep_nobody_out_who_has_signed_in(
    plane: RelayPlane, no_room_for_strangers: Room, rf: RequestFactory, body: bytes
) -> None:
    cookie = f"{django_settings.SESSION_COOKIE_NAME}=session; {proof.COOKIE}={proof.made('session')}"
    assert _post(rf, "/admin/keys/virtualkey/add/", body, cookie=cookie).status_code == 200


def test_a_log_in_finds_room_whatever_strangers_send(
    plane: RelayPlane, no_room_for_strangers: Room, rf: RequestFactory
) -> None:
    assert _post(rf, "/admin/login/", SOME[:UNCOUNTED_BYTES]).status_code == 200


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "no_manager"),
        ({"blocked": True}, "blocked"),
        ({"expires_at": timezone.now() - timedelta(hours=1)}, "expired"),
    ],
)
def test_a_refusal_is_counted_by_what_is_wrong_with_the_key(
    plane: RelayPlane, control: Upstream, rf: RequestFactory, fields: dict[str, Any], reason: str
) -> None:
    control.on("*", answers.json(401, {}))
    _, secret = VirtualKey.objects.issue(name="dev", **fields)
    plane.keys.refresh()
    assert _post(rf, "/key/info", b"", secret).status_code == 401
    assert [told for _, told in plane.unlisted.take()] == [reason]


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_a_connection_of_which_nothing_is_unread_is_kept_after_a_refusal(
    plane: RelayPlane, rf: RequestFactory, body: bytes
) -> None:
    plane.control_url = f"http://127.0.0.1:{unused_port()}"
    response = _post(rf, "/admin/login/", body)
    assert (response.status_code, isinstance(response, RefusedUnread)) == (503, False)


def test_connections_to_the_control_plane_that_a_burst_left_behind_are_closed(
    plane: RelayPlane, control: Upstream, rf: RequestFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    _post(rf, "/admin/login/", b"")
    assert control.open_connections == 1
    late = time.monotonic() + KEEP_IDLE_SECONDS + 1
    monkeypatch.setattr("upstreams.transport.time.monotonic", lambda: late)
    plane.close_idle()
    control.wait_for(lambda: not control.open_connections)


def test_a_connection_with_an_unread_body_ends_after_a_refusal(plane: RelayPlane, rf: RequestFactory) -> None:
    assert isinstance(_post(rf, "/key/generate", b"{}"), RefusedUnread)


def test_what_nobody_expects_is_an_error_in_our_shape_that_ends_the_connection(
    rf: RequestFactory, plane: RelayPlane, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plane.spool = tmp_path / "gone"
    response = _post(rf, "/admin/login/", LARGE)
    assert (response.status_code, json.loads(response.content)["error"]["type"]) == (500, "internal_server_error")
    assert isinstance(response, RefusedUnread)
    assert "The relay failed." in caplog.text
