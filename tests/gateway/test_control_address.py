"""Where the two planes meet."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from gateway.serving.control_address import base_url, listen_address


def _settings(directory: Path, address: str = "") -> Any:
    return SimpleNamespace(CONTROL_ADDRESS=address, DATA_DIR=directory)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_socket_lies_beside_the_data() -> None:
    assert listen_address(_settings(Path("/data"))) == "unix:/data/control.sock"
    assert base_url(_settings(Path("/data"))) == "unix:/data/control.sock"


def test_an_address_that_is_given_is_used() -> None:
    settings = _settings(Path("/data"), "127.0.0.1:4001")
    assert (listen_address(settings), base_url(settings)) == ("127.0.0.1:4001", "http://127.0.0.1:4001")


def test_a_path_too_long_for_a_socket_gets_a_short_one(temporary: Path) -> None:
    deep = Path("/" + "x" * 120)
    address = listen_address(_settings(deep))
    assert address == listen_address(_settings(deep)) != listen_address(_settings(deep / "y"))
    assert Path(address.removeprefix("unix:")).parent.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_anybody_else_may_write_to_is_not_used(temporary: Path) -> None:
    """Whoever listens there first would be handed the admin's passwords."""
    deep = Path("/" + "x" * 120)
    directory = Path(listen_address(_settings(deep)).removeprefix("unix:")).parent
    directory.chmod(0o777)
    with pytest.raises(ImproperlyConfigured, match="GATEWAY_CONTROL_ADDRESS"):
        listen_address(_settings(deep))
