"""The command to paste that the terminal shows at a start."""

from pathlib import Path

import pytest
from pytest_django import Settings

from gateway.management.commands.serve import _example

NAMES = ("GATEWAY_MASTER_KEY", "LITELLM_MASTER_KEY")


@pytest.fixture(autouse=True)
def no_master_key(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    settings.MASTER_KEY_FILE = None
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_the_key_is_read_from_the_file_that_was_made(settings: Settings) -> None:
    settings.MASTER_KEY_FILE = Path("/data dir/master_key")
    assert "\"Authorization: Bearer $(cat '/data dir/master_key')\"" in _example("http://localhost")


@pytest.mark.parametrize("name", NAMES)
def test_the_key_is_the_variable_that_is_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "sk-never-shown")
    assert f'"Authorization: Bearer ${name}"' in _example("http://localhost")


def test_the_key_is_in_the_file_that_a_variable_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_MASTER_KEY_FILE", "/run/secrets/master_key")
    assert '$(cat "$LITELLM_MASTER_KEY_FILE")' in _example("http://localhost")
