"""Settings are read from variables and files; a wrong one is a sentence."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from gateway.environment import Environment


def test_the_first_name_that_is_set_counts() -> None:
    env = Environment({"A": "  ", "B": " b ", "C": "c"})
    assert env.text("A", "B", "C", default="d") == "b"


def test_an_empty_value_counts_as_unset() -> None:
    env = Environment({"A": "", "N": " "})
    assert (env.text("A", default="d"), env.whole("N", default=3, least=0, most=9)) == ("d", 3)


def test_a_value_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from the file\n")
    env = Environment({"A_FILE": str(tmp_path / "secret"), "B": "b", "B_FILE": "/no/such"})
    assert (env.text("A"), env.text("B")) == ("from the file", "b")


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    with pytest.raises(ImproperlyConfigured, match=r"^A_FILE points to .*secret, which cannot be read: "):
        Environment({"A_FILE": str(tmp_path / "secret")}).text("A")


def test_a_dollar_in_a_secret_is_a_dollar() -> None:
    assert Environment({"A": "$B", "B": "b"}).text("A") == "$B"


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("YES", True), ("on", True), ("0", False), ("No", False), ("off", False)]
)
def test_flags(text: str, value: bool) -> None:
    assert Environment({"A": text}).flag("A", default=not value) is value


Read = Callable[[Environment], Any]


@pytest.mark.parametrize(
    ("text", "read", "wanted"),
    [
        ("maybe", lambda env: env.flag("A", default=True), "true or false"),
        ("x", lambda env: env.whole("A", default=1, least=1, most=9), "a whole number from 1 to 9"),
        ("10", lambda env: env.whole("A", default=1, least=1, most=9), "a whole number from 1 to 9"),
        ("1.5", lambda env: env.whole("A", default=1, least=1, most=9), "a whole number from 1 to 9"),
        ("0", lambda env: env.seconds("A", default=1), "a number of seconds greater than 0"),
        ("-1", lambda env: env.seconds("A", default=1), "a number of seconds greater than 0"),
        ("nan", lambda env: env.seconds("A", default=1), "a number of seconds greater than 0"),
        ("soon", lambda env: env.seconds("A", default=1), "a number of seconds greater than 0"),
        ("10.0.0.0/99", lambda env: env.networks("A"), "a list of IP addresses or networks"),
        ("mysql://x/y", lambda env: env.database("A", default=""), "a sqlite:// or postgresql:// address"),
        ("nonsense", lambda env: env.database("A", default=""), "a sqlite:// or postgresql:// address"),
    ],
)
def test_a_wrong_value_is_one_sentence(text: str, read: Read, wanted: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"^A must be {wanted}") as caught:
        read(Environment({"A": text}))
    assert "\n" not in str(caught.value)


def test_a_web_address_without_its_scheme_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^A must start with http:// or https://"):
        Environment({"B": "my-vllm:8000"}).web_address("A", "B")


@pytest.mark.parametrize("url", ["redis://r:6379/1", "rediss://:p%2Fw@r", "unix:///run/redis.sock?db=2"])
def test_redis_addresses(url: str) -> None:
    assert Environment({"REDIS_URL": url}).redis_address("REDIS_URL") == url


@pytest.mark.parametrize("url", ["http://hush@r", "redis://:hush/ush@r", "redis://:hush@r/1?hush=1", "hush"])
def test_a_wrong_redis_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="REDIS_URL must be a redis://") as refused:
        Environment({"REDIS_URL": url}).redis_address("REDIS_URL")
    assert "hush" not in "".join(traceback.format_exception(refused.value))


def test_without_redis_there_is_no_address() -> None:
    assert Environment({}).redis_address("REDIS_URL") == ""


def test_a_web_address_loses_its_trailing_slash() -> None:
    assert Environment({"A": "HTTP://host/"}).web_address("A") == "HTTP://host"
    assert Environment({}).web_address("A") == ""


def test_seconds_may_have_a_fraction() -> None:
    assert Environment({"A": "0.5"}).seconds("A", default=1) == 0.5


def test_lists_are_separated_by_commas() -> None:
    env = Environment({"A": " a, b ,,"})
    assert (env.items("A", default=[]), env.items("B", default=["x"])) == (["a", "b"], ["x"])


def test_networks_may_be_addresses() -> None:
    assert [str(network) for network in Environment({"A": "10.1.2.3/8, ::1"}).networks("A")] == [
        "10.0.0.0/8",
        "::1/128",
    ]


@pytest.mark.parametrize(
    ("url", "engine"), [("sqlite:////data/db.sqlite3", "sqlite3"), ("postgresql://u:p@h/d", "postgresql")]
)
def test_databases(url: str, engine: str) -> None:
    assert Environment({"A": url}).database("A", default="")["ENGINE"] == f"django.db.backends.{engine}"


def test_the_process_s_own_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SETTING", "here")
    assert Environment().text("SOME_SETTING") == "here"
