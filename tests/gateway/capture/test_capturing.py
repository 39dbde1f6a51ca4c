"""Calls that are captured, and those that are not; what is kept of them, and what it costs the others."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from gevent import GreenletExit
from pytest_django import Settings

from gateway.account.retention import prune_payloads
from gateway.capture import captures as captures_module
from gateway.capture.models import CapturedPayload, PayloadCapture
from gateway.passthrough import PassThrough
from gateway.plane import RelayPlane
from keys.models import VirtualKey
from keys.registry import KeyRegistry
from tests.support import answers, vllm
from tests.support.upstream import Upstream
from upstreams import encryption
from upstreams.models import Deployment
from upstreams.models import Upstream as UpstreamRow
from upstreams.pool import UpstreamPool

pytestmark = [pytest.mark.sockets, pytest.mark.django_db(transaction=True)]

CREDENTIAL = "the-upstream-s-own-credential"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        vllm.serve(upstream)
        yield upstream


@pytest.fixture
def plane(upstream: Upstream, settings: Settings, tmp_path: Path) -> Iterator[RelayPlane]:
    settings.DATA_DIR = tmp_path  # its journal is nobody else's
    plane = RelayPlane(KeyRegistry(), UpstreamPool())
    row = UpstreamRow.objects.create(name="one", url=upstream.url, is_default=True, credential=CREDENTIAL)
    Deployment.objects.create(upstream=row, alias="alias", served_name="tiny-chat")
    yield plane
    plane.stop()
    plane.client.forget(upstream.url)


@pytest.fixture
def key() -> tuple[VirtualKey, str]:
    return VirtualKey.objects.issue(name="dev", aliases={"fast": "alias"})


def capture(**fields: Any) -> PayloadCapture:
    ends_at = fields.pop("ends_at", timezone.now() + timedelta(hours=1))
    return PayloadCapture.objects.create(reason="A test.", started_by="ada", ends_at=ends_at, **fields)


def environ(secret: str, body: Any, target: str = "/vllm/v1/chat/completions") -> dict[str, Any]:
    data = json.dumps(body).encode()
    return {
        "REQUEST_METHOD": "POST",
        "RAW_URI": target,
        "CONTENT_LENGTH": str(len(data)),
        "CONTENT_TYPE": "application/json",
        "REMOTE_ADDR": "192.0.2.1",
        "HTTP_AUTHORIZATION": f"Bearer {secret}",
        "wsgi.input": io.BytesIO(data),
    }


def call(plane: RelayPlane, secret: str, target: str = "/vllm/v1/chat/completions", **body: Any) -> Any:
    plane.refresh()
    response = PassThrough(environ(secret, body, target), plane).answer()
    response.content_read = b"".join(response)  # type: ignore[attr-defined,call-overload]
    response.close()
    plane.captures.flush()
    return response


def bodies() -> tuple[bytes, bytes]:
    return CapturedPayload.objects.get().reveal()


def test_nothing_is_captured_by_itself(plane: RelayPlane, key: Any) -> None:
    assert "x-gateway-capture" not in call(plane, key[1], model="alias").headers
    assert plane.captures.active == ()
    assert not CapturedPayload.objects.exists()


def test_a_key_s_call_is_captured_and_its_caller_told(plane: RelayPlane, key: Any) -> None:
    capture(key_id=key[0].pk, key_name="dev")
    response = call(plane, key[1], model="alias", messages=[{"role": "user", "content": "Hello"}])
    assert response.headers["x-gateway-capture"] == "on"
    request, answer = bodies()
    assert json.loads(request)["messages"][0]["content"] == "Hello"
    assert answer == response.content_read
    row = CapturedPayload.objects.get()
    assert (row.call_id.hex, row.key_name, row.model, row.status) == (
        response.headers["x-litellm-call-id"].replace("-", ""),
        "dev",
        "alias",
        200,
    )
    assert (row.request_cut, row.response_cut) == (False, False)


def test_a_stream_is_captured_as_it_passes(plane: RelayPlane, key: Any) -> None:
    capture(model="alias")
    response = call(plane, key[1], model="alias", stream=True)
    assert response.streaming
    assert response.headers["x-gateway-capture"] == "on"
    assert bodies()[1] == response.content_read
    assert b"data: [DONE]" in response.content_read


def test_of_a_stream_that_is_left_what_passed_is_kept(plane: RelayPlane, key: Any) -> None:
    capture(model="alias")
    plane.refresh()
    response = PassThrough(environ(key[1], {"model": "alias", "stream": True}), plane).answer()
    chunks = iter(response)  # type: ignore[call-overload]
    passed = b"".join([next(chunks), next(chunks)])
    response.close()
    plane.captures.flush()
    assert bodies()[1] == passed
    assert passed


def test_of_a_call_that_is_ended_from_outside_nothing_is_held(
    plane: RelayPlane, key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture(model="alias")
    plane.refresh()

    def end(*args: Any) -> None:
        raise GreenletExit

    monkeypatch.setattr("gateway.passthrough.admit", end)
    with pytest.raises(GreenletExit):
        PassThrough(environ(key[1], {"model": "alias"}), plane).answer()
    assert plane.captures._held == 0


def test_of_a_body_that_cannot_be_read_nothing_is_held(
    plane: RelayPlane, key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture(model="alias")

    def fail(*args: Any) -> None:
        raise OSError("The disk is gone.")

    monkeypatch.setattr("gateway.body.request_body.RequestBody.read_range", fail)
    call(plane, key[1], model="alias")
    assert plane.captures._held == 0


def test_of_an_answer_that_no_server_takes_nothing_is_held(plane: RelayPlane, key: Any) -> None:
    capture(model="alias")
    plane.refresh()
    given = environ(key[1], {"model": "alias", "stream": True})
    PassThrough(given, plane).answer()
    given["gateway.abandon"]()
    plane.captures.flush()
    assert plane.captures._held == 0
    assert len(plane.open_calls) == 0


@pytest.mark.parametrize(("asked", "is_captured"), [("alias", True), ("fast", True), ("tiny-chat", False)])
def test_a_model_is_captured_by_the_name_that_is_asked_for(
    plane: RelayPlane, key: Any, asked: str, is_captured: bool
) -> None:
    capture(model="alias")
    assert ("x-gateway-capture" in call(plane, key[1], model=asked).headers) is is_captured


def test_other_keys_are_not_captured(plane: RelayPlane, key: Any) -> None:
    capture(key_id=key[0].pk)
    other = VirtualKey.objects.issue(name="other")[1]
    assert "x-gateway-capture" not in call(plane, other, model="alias").headers


def test_a_key_is_captured_while_it_is_of_the_team_that_it_was_of(plane: RelayPlane, key: Any) -> None:
    VirtualKey.objects.update(team_id="support")
    capture(key_id=key[0].pk, team_id="support")
    assert "x-gateway-capture" in call(plane, key[1], model="alias").headers
    assert CapturedPayload.objects.get().team_id == "support"
    key[0].team_id = "marketing"
    key[0].save()
    assert "x-gateway-capture" not in call(plane, key[1], model="alias").headers


@pytest.mark.parametrize("ending", ["over", "stopped", "full"])
def test_a_capture_that_has_ended_captures_nothing(plane: RelayPlane, key: Any, ending: str) -> None:
    ends_at = timezone.now() + timedelta(hours=-1 if ending == "over" else 1)
    row = capture(key_id=key[0].pk, ends_at=ends_at, most_calls=0 if ending == "full" else 10)
    if ending == "stopped":
        assert row.stop("ada")
        assert not row.stop("ada")
    assert "x-gateway-capture" not in call(plane, key[1], model="alias").headers


def test_it_ends_after_so_many_calls(plane: RelayPlane, key: Any) -> None:
    capture(key_id=key[0].pk, most_calls=2)
    told = ["x-gateway-capture" in call(plane, key[1], model="alias").headers for _ in range(3)]
    assert told == [True, True, False]


def test_refused_calls_are_captured_and_take_no_other_call_s_place(plane: RelayPlane, key: Any) -> None:
    row = capture(key_id=key[0].pk, most_calls=2)
    asked = ["nobody-has-it", "nobody-has-it", "nobody-has-it", "alias", "nobody-has-it", "alias", "alias"]
    UpstreamRow.objects.update(is_default=False)
    told = ["x-gateway-capture" in call(plane, key[1], model=model).headers for model in asked]
    assert told == [True, True, False, True, False, True, False]
    counts = PayloadCapture.objects.counted().values_list("captured", "unsent").get(pk=row.pk)
    assert counts == (2, 2)
    assert plane.captures._held == 0


def test_another_process_s_refused_calls_count_too(plane: RelayPlane, key: Any) -> None:
    capture(key_id=key[0].pk, most_calls=1)
    UpstreamRow.objects.update(is_default=False)
    other = RelayPlane(plane.keys, plane.pool)
    try:
        assert "x-gateway-capture" in call(other, key[1], model="nobody-has-it").headers
        assert "x-gateway-capture" not in call(plane, key[1], model="nobody-has-it").headers
        assert "x-gateway-capture" in call(plane, key[1], model="alias").headers
    finally:
        other.stop()


def test_a_refused_call_is_captured_with_its_error(plane: RelayPlane) -> None:
    key, secret = VirtualKey.objects.issue(name="dev", models=["other"])
    capture(key_id=key.pk)
    response = call(plane, secret, model="alias")
    assert (response.status_code, response.headers["x-gateway-capture"]) == (403, "on")
    assert b"key_model_access_denied" in bodies()[1]


def test_no_secret_is_kept(plane: RelayPlane, key: Any, upstream: Upstream) -> None:
    capture(key_id=key[0].pk)
    upstream.on("POST /v1/chat/completions", answers.json(200, {"said": f"{CREDENTIAL} and sk-other-key-12345"}))
    response = call(plane, key[1], model="alias", prompt=f"my key is {key[1]}", api_key="abcdef")
    assert CREDENTIAL.encode() in response.content_read
    stored = b"".join(bodies())
    for secret in (CREDENTIAL, key[1], "sk-other-key", "abcdef"):
        assert secret.encode() not in stored


def test_bodies_are_encrypted_and_follow_a_new_key(plane: RelayPlane, key: Any, settings: Settings) -> None:
    capture(key_id=key[0].pk)
    call(plane, key[1], model="alias", prompt="Hello")
    row = CapturedPayload.objects.get()
    assert "Hello" not in row.request_body
    encryption.check_canary()
    new = "bmV3LWVuY3J5cHRpb24ta2V5LWZvci10aGUtdGVzdHM="
    settings.ENCRYPTION_KEYS = [new, *settings.ENCRYPTION_KEYS]
    encryption.rotate()
    settings.ENCRYPTION_KEYS = [new]
    assert b"Hello" in bodies()[0]


def test_large_bodies_are_cut(plane: RelayPlane, key: Any, settings: Settings) -> None:
    settings.CAPTURE_BODY_BYTES = 100
    capture(key_id=key[0].pk)
    response = call(plane, key[1], model="alias", prompt="word " * 1000)
    row = CapturedPayload.objects.get()
    request, answer = row.reveal()
    assert (row.request_cut, row.response_cut) == (True, True)
    assert len(request) <= 100
    assert (len(answer) <= 100, row.response_bytes) == (True, len(response.content_read))


def test_what_a_process_holds_is_bounded(plane: RelayPlane, key: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captures_module, "MOST_HELD_BYTES", 10)
    capture(key_id=key[0].pk)
    assert call(plane, key[1], model="alias", prompt="Hello there").status_code == 200
    row = CapturedPayload.objects.get()
    assert (row.request_cut, row.response_cut) == (True, True)
    assert plane.captures.hold(10)  # all has been given back


def test_a_payload_that_cannot_be_stored_fails_no_call(
    plane: RelayPlane, key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*arguments: object) -> None:
        raise OperationalError("away")

    monkeypatch.setattr(captures_module, "_store", away)
    capture(key_id=key[0].pk)
    assert call(plane, key[1], model="alias").status_code == 200
    assert plane.captures._held == 0


def test_a_fault_in_capturing_fails_no_call(plane: RelayPlane, key: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(plane.captures, "match", fail)
    capture(key_id=key[0].pk)
    response = call(plane, key[1], model="alias")
    assert (response.status_code, "x-gateway-capture" in response.headers) == (200, False)


def test_what_was_stopped_meanwhile_is_not_kept(plane: RelayPlane, key: Any) -> None:
    row = capture(key_id=key[0].pk)
    plane.refresh()
    row.stop("ada")
    held = plane.captures.active
    plane.captures.refresh = lambda: setattr(plane.captures, "active", held)  # type: ignore[method-assign]
    assert call(plane, key[1], model="alias").headers["x-gateway-capture"] == "on"
    assert not CapturedPayload.objects.exists()


def test_old_payloads_are_pruned(plane: RelayPlane, key: Any, settings: Settings) -> None:
    capture(key_id=key[0].pk)
    call(plane, key[1], model="alias")
    settings.CAPTURE_RETENTION_DAYS = 7
    assert prune_payloads(timezone.now() + timedelta(days=6)) == 0
    assert prune_payloads(timezone.now() + timedelta(days=8)) == 1
    assert PayloadCapture.objects.exists()
