"""What of a file belongs to a start."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.startup import ConfigError, named_file, prepare_environment, sets_master_key

TEXT = "general_settings: {master_key: os.environ/MY_KEY, database_url: postgresql://there/db}\n"


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "config.yaml"
    path.write_text(TEXT)
    return str(path)


def prepared(file: str, **environment: str) -> dict[str, str]:
    prepare_environment(["serve", "--config", file], environment)
    return environment


def test_the_file_s_settings_become_variables(file: str) -> None:
    found = prepared(file, MY_KEY="sk-mine")
    assert (found["GATEWAY_MASTER_KEY"], found["DATABASE_URL"]) == ("sk-mine", "postgresql://there/db")
    assert sets_master_key(file, found)


@pytest.mark.parametrize("name", ["GATEWAY_MASTER_KEY", "LITELLM_MASTER_KEY", "DHEERA_AI_MASTER_KEY_FILE"])
def test_what_the_environment_says_wins(file: str, name: str) -> None:
    found = prepared(file, **{name: "given", "DATABASE_URL": "sqlite:///x"})
    assert found == {name: "given", "DATABASE_URL": "sqlite:///x"}
    assert not sets_master_key(file, {**found, "MY_KEY": "sk-mine"})


def test_a_missing_variable_is_named(file: str) -> None:
    with pytest.raises(ConfigError, match="the environment variable MY_KEY is not set"):
        prepared(file)


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (["serve", "--config", "f"], "f"),
        (["serve", "--relay", "--config=f"], "f"),
        (["serve"], None),
        (["serve", "--config"], None),
        (["apply", "f"], None),
        ([], None),
    ],
)
def test_only_serve_has_a_file_to_start_with(arguments: list[str], file: str | None) -> None:
    assert named_file(arguments) == file
