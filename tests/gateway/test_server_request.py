"""What the relay answers to what is no HTTP, and when it gives a client up that does not read."""

import socket

import pytest
from django.conf import settings
from gunicorn.http import errors

from gateway.serving.server import UNREAD_MARGIN_SECONDS, _give_up_unread
from gateway.serving.server_request import error_bytes, refusal_of


def test_a_client_that_reads_nothing_is_given_up_later_than_the_sweeper_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "IDLE_TIMEOUT", 120.0)
    with socket.socket() as client:
        _give_up_unread(client)
        waits = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert waits == (120 + UNREAD_MARGIN_SECONDS) * 1000


def test_only_what_the_client_did_wrong_is_its_fault() -> None:
    assert refusal_of(errors.InvalidResponseHeaderName("x(y)")) is None
    assert refusal_of(ValueError("Invalid status")) is None
    refusal = refusal_of(errors.UnsupportedTransferCoding("a key"))
    assert refusal is not None
    assert error_bytes(refusal).startswith(b"HTTP/1.1 501 Not Implemented\r\n")
    assert b"a key" not in error_bytes(refusal)
