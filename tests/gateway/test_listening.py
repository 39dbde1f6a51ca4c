"""Why nobody could listen somewhere is found out before anybody tries."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from gateway.serving.control_address import check_free
from gateway.serving.listening import port_trouble, socket_trouble


@pytest.mark.sockets
def test_a_port_that_is_taken_or_not_here() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert port_trouble("127.0.0.1", server.getsockname()[1]) == "Address already in use"
    assert port_trouble("203.0.113.7", 4001) == "Cannot assign requested address"
    assert port_trouble("no-such-host.invalid", 4001)


@pytest.mark.sockets
def test_a_socket_where_somebody_listens_and_what_a_killed_process_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert socket_trouble(path) == "Address already in use"
    assert path.exists()
    assert socket_trouble(path) is None


@pytest.mark.sockets
def test_a_socket_whose_listener_lets_nobody_in(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as server, contextlib.ExitStack() as queue:
        server.bind(str(path))
        server.listen(0)
        with contextlib.suppress(BlockingIOError):  # the backlog is full
            while True:
                waiting = queue.enter_context(socket.socket(socket.AF_UNIX))
                waiting.settimeout(0)
                waiting.connect(str(path))
        assert socket_trouble(path) == "Address already in use"


def test_a_place_where_no_socket_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert socket_trouble(tmp_path / "file") == "There is something else than a socket"
    assert socket_trouble(Path("/no/such/x.sock")) == "There is no such directory"
    assert socket_trouble(tmp_path / "x.sock") is None


@pytest.mark.sockets
@pytest.mark.parametrize("address", ["203.0.113.7:4001", "unix:/no/such/x.sock"])
def test_a_control_plane_that_could_not_listen_is_one_sentence(address: str, settings: Settings) -> None:
    settings.CONTROL_ADDRESS = address
    with pytest.raises(
        ImproperlyConfigured, match=f"^The control plane cannot listen on GATEWAY_CONTROL_ADDRESS {address}"
    ):
        check_free(settings)


def test_a_place_beside_the_data_is_fine(settings: Settings) -> None:
    settings.CONTROL_ADDRESS = ""
    check_free(settings)
