"""Every setting with where it comes from, and no secret among them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import settings
from gateway.environment import Environment
from gateway.settings_in_force import explained, settings_in_force, shown, without_password


def _lines(env: Environment):
    return {line.names[0]: line for lines in settings_in_force(env.readings.values()).values() for line in lines}


def test_every_setting_is_read_and_explained() -> None:
    lines = _lines(settings.env)
    assert lines.keys() == explained().keys()
    assert all(line.meaning for line in lines.values())


def test_a_setting_says_where_its_value_comes_from(tmp_path: Path) -> None:
    (tmp_path / "port").write_text("4001")
    env = Environment({"HOST": "::1", "PORT_FILE": str(tmp_path / "port"), "VLLM_API_BASE": "http://vllm:8000"})
    env.text("HOST", default="0.0.0.0")
    env.whole("PORT", default=4000, least=1, most=65535)
    env.flag("GATEWAY_REQUIRE_KEYS", default=True)
    env.web_address("HOSTED_VLLM_API_BASE", "VLLM_API_BASE")
    env.text("SECRET_KEY")
    env.note_generated("SECRET_KEY", tmp_path / "secret_key")
    lines = _lines(env)
    assert {name: (line.source, line.value) for name, line in lines.items()} == {
        "HOST": ("environment", "::1"),
        "PORT": ("file", "4001"),
        "GATEWAY_REQUIRE_KEYS": ("default", "true"),
        "HOSTED_VLLM_API_BASE": ("environment", "http://vllm:8000"),
        "SECRET_KEY": ("generated", ""),
    }
    assert (lines["PORT"].variable, lines["PORT"].place) == ("PORT_FILE", str(tmp_path / "port"))
    assert {name for name, line in lines.items() if line.is_changed} == {"HOST", "PORT", "HOSTED_VLLM_API_BASE"}
    assert lines["HOSTED_VLLM_API_BASE"].place == "VLLM_API_BASE"


@pytest.mark.parametrize(
    "name",
    ["SECRET_KEY", "GATEWAY_ENCRYPTION_KEYS", "GATEWAY_MASTER_KEY", "HOSTED_VLLM_API_KEY", "GATEWAY_ADMIN_PASSWORD"],
)
def test_of_a_secret_only_that_it_is_set(name: str) -> None:
    env = Environment({name: "sk-very-secret"})
    env.text(name, default="another-secret")
    assert "secret" not in repr(env.readings[name]).lower().replace("is_secret", "").replace(name.lower(), "")
    line = _lines(env)[name]
    assert (line.is_secret, line.is_set, line.value) == (True, True, "")


def test_a_flag_whose_name_has_key_in_it_is_no_secret() -> None:
    env = Environment({"GATEWAY_REQUIRE_KEYS": "no"})
    env.flag("GATEWAY_REQUIRE_KEYS", default=True)
    assert _lines(env)["GATEWAY_REQUIRE_KEYS"].value == "false"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://gw:pass@db:5432/gw", "postgresql://gw:…@db:5432/gw"),
        ("postgresql://db/gw?password=pass&sslmode=require", "postgresql://db/gw?password=…&sslmode=…"),
        ("redis://:pass@cache:6379/0", "redis://…@cache:6379/0"),
        ("https://token@vllm", "https://…@vllm"),
        ("rediss://[::1", "rediss://…"),
        ("postgresql://gw:pa/ss@db:5432/gw", "postgresql://…"),
        ("no address", "no address"),
    ],
)
def test_an_address_is_shown_without_its_password(text: str, expected: str) -> None:
    assert without_password(text) == expected


def test_values_are_shown_as_one_would_write_them() -> None:
    assert [shown(one) for one in (True, 30.0, ["a", "b"], 8, "")] == ["true", "30", "a, b", "8", ""]
