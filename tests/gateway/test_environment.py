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
NO_HOST_NAMES = ["https://gw.example.com", "gw.example.com:443", "*.example.com", "gw.example.com.", "a b", "::1", ","]
NO_ORIGINS = ["gw.example.com", "https://", "https://gw.example.com/admin", "https://gw.example.com/", "https://*"]
NO_MEETING_PLACES = ["nonsense", "127.0.0.1:x", "127.0.0.1:0", "h:65536", ":1", "::1:1", "http://h:1", "unix:x.sock"]


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
        *((text, lambda env: env.host_names("A", default=["*"]), "a list of host names") for text in NO_HOST_NAMES),
        *((text, lambda env: env.origins("A", default=[]), "a list of origins") for text in NO_ORIGINS),
        *((text, lambda env: env.meeting_place("A"), "host:port, such as") for text in NO_MEETING_PLACES),
    ],
)
def test_a_wrong_value_is_one_sentence(text: str, read: Read, wanted: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"^A must be {wanted}") as caught:
        read(Environment({"A": text}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["my-vllm:8000", "https://", "http:///path", "http://host:port", "http://[::1"])
def test_what_is_no_web_address_is_refused_by_the_name_that_was_set(text: str) -> None:
    with pytest.raises(
        ImproperlyConfigured, match=r"^B must start with http:// or https:// and name a host, whose port is a number\.$"
    ):
        Environment({"B": text}).web_address("A", "B")


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


def test_host_names_origins_and_meeting_places() -> None:
    hosts, origins = "*, gw, .example.com,10.0.0.1, [::1]", "https://gw.example.com, http://*.b:8080,http://[::1]:4000"
    env = Environment({"A": hosts, "B": origins, "C": "unix:/run/a b.sock", "D": "[::1]:4001", "E": "control:4001"})
    assert env.host_names("A", default=[]) == ["*", "gw", ".example.com", "10.0.0.1", "[::1]"]
    assert env.origins("B", default=[]) == ["https://gw.example.com", "http://*.b:8080", "http://[::1]:4000"]
    assert [env.meeting_place(name) for name in "CDEF"] == ["unix:/run/a b.sock", "[::1]:4001", "control:4001", ""]
    assert (env.host_names("F", default=["*"]), env.origins("F", default=["x"])) == (["*"], ["x"])


def test_a_setting_says_what_it_was_set_by(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("b")
    env = Environment({"B_FILE": str(tmp_path / "b"), "C": "c"})
    assert (env.text("A", "B"), env.text("C"), env.text("D")) == ("b", "c", "")
    assert [env.variable(name) for name in "ACD"] == ["B_FILE", "C", "D"]


@pytest.mark.parametrize(
    "url", ["sqlite://:memory:", "sqlite://", "sqlite:///file::memory:", "sqlite:///f?mode=memory"]
)
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^A names a database in memory"):
        Environment({"A": url}).database("A", default="")


@pytest.mark.parametrize("options", ["timeout=5", "conn_max_age=60", "cache=shared"])
def test_options_of_sqlite_are_refused_and_not_ignored(options: str) -> None:
    said = rf"^A has options, which a SQLite database does not take here; leave out “\?{options}”\.$"
    with pytest.raises(ImproperlyConfigured, match=said):
        Environment({"A": f"sqlite:///f.db?{options}"}).database("A", default="")


def test_a_postgresql_that_names_no_database_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^A names no database"):
        Environment({"A": "postgresql://u:p@h/"}).database("A", default="")
    assert Environment({"A": "postgresql:///?service=x"}).database("A", default="")["OPTIONS"] == {"service": "x"}


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
