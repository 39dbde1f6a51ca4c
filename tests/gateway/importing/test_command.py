"""`manage.py import_litellm`: what it prints, asks, and leaves alone. For the run on PostgreSQL."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command

from keys.models import Secret, VirtualKey
from tests.support import databases
from tests.support.litellm_database import SALT_KEY, LiteLLMDatabase, digest
from tests.support.ports import unused_port
from upstreams.models import Deployment

pytestmark = pytest.mark.django_db
on_postgresql = pytest.mark.skipif(not databases.on_postgresql(), reason="is for the run on PostgreSQL")
SECRET = "sk-a-developers-old-key"


@pytest.fixture(scope="module")
def litellm() -> LiteLLMDatabase:
    database = LiteLLMDatabase()
    for number in range(4):
        database.key(f"sk-of-a-developer-{number:04}", f"key-{number}", permissions={"x": 1})
    database.key("sk-for-the-managers-1", "boss", key_type="management")
    database.model("chat", api_key="hunter2")
    return database


@pytest.fixture
def run(litellm: LiteLLMDatabase, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command; returns what it printed."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))

    def run(*options: str, url: str | None = litellm.url) -> str:
        output = io.StringIO()
        where = [] if url is None else ["--database-url", url]
        call_command("import_litellm", *where, *options, stdout=output, stderr=output)
        return output.getvalue()

    return run


class Terminal(io.StringIO):
    """Somebody who can be asked."""

    def isatty(self) -> bool:
        return True


@on_postgresql
def test_it_shows_a_plan_and_writes_nothing_when_nobody_can_be_asked(run: Any) -> None:
    assert run().splitlines() == [
        "LiteLLM has 0 teams, 0 owners, 0 end users, 5 virtual keys, 1 model.",
        *(f"+ virtual key key-{number}" for number in range(4)),
        "Cannot be carried over:",
        "  virtual key boss: it is for managing: issue a management key, which may do more here than there, by hand.",
        "  model chat: its values are encrypted, and there is no salt key.",
        "Please note:",
        "  virtual key key-0, key-1, key-2 and 1 more: permissions has no effect here.",
        "Nothing was written, because nobody can be asked here: say --yes.",
    ]
    assert not VirtualKey.objects.exists()


@on_postgresql
def test_yes_writes_it_and_a_second_time_there_is_nothing_to_do(run: Any) -> None:
    assert run("--yes").endswith("Imported: 4 new, 0 changed.\n")
    assert Secret.objects.filter(digest=digest("sk-of-a-developer-0003")).exists()
    again = run()
    assert "= 4 stay as they are" in again
    assert again.endswith("Nothing to do.\n")
    assert run("--yes").endswith("Nothing to do.\n")


@on_postgresql
def test_a_dry_run_writes_nothing_even_with_yes(run: Any) -> None:
    assert run("--yes", "--dry-run").endswith("Nothing was written: this was a dry run.\n")
    assert not VirtualKey.objects.exists()


@on_postgresql
@pytest.mark.parametrize(("answer", "count"), [("y\n", 4), ("YES\n", 4), ("n\n", 0), ("\n", 0)])
def test_it_asks(run: Any, monkeypatch: pytest.MonkeyPatch, answer: str, count: int) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert "Import this? [y/N] " in run()
    assert VirtualKey.objects.count() == count


@on_postgresql
def test_no_secret_and_no_digest_is_printed(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_SALT_KEY", SALT_KEY)
    printed = run("--yes")
    assert "+ model chat" in printed
    for secret in (SALT_KEY, "hunter2", digest("sk-of-a-developer-0000"), "sk-of"):
        assert secret not in printed


@on_postgresql
def test_the_salt_key_comes_from_a_file_or_as_litellm_has_it(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "salt"
    file.write_text(f"{SALT_KEY}\n")
    assert "+ model chat" in run("--salt-key-file", str(file))
    monkeypatch.setenv("LITELLM_MASTER_KEY", SALT_KEY)
    assert "+ model chat" in run()
    monkeypatch.setenv("LITELLM_SALT_KEY", "sk-another")
    assert "the salt key does not open them" in run()


@on_postgresql
def test_the_address_may_come_from_the_environment(
    run: Any, litellm: LiteLLMDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITELLM_DATABASE_URL", litellm.url)
    assert "+ virtual key key-0" in run(url=None)


@on_postgresql
def test_what_stays_is_told(run: Any) -> None:
    run("--yes")
    VirtualKey.objects.filter(name="key-1").update(rpm_limit=3)
    printed = run("--yes")
    assert (
        "because it was changed here (--overwrite takes LiteLLM's):\n  virtual key key-1: rpm_limit 3 (LiteLLM: none)"
        in printed
    )
    assert run("--yes", "--overwrite").endswith("Imported: 0 new, 1 changed.\n")


@on_postgresql
def test_models_come_with_the_salt_key(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run("--yes")
    monkeypatch.setenv("LITELLM_SALT_KEY", SALT_KEY)
    assert run("--yes").endswith("Imported: 1 new, 0 changed.\n")
    assert Deployment.objects.get().upstream.credential.reveal() == "hunter2"


# --- Errors, on both databases ----------------------------------------------------------------------------------


def _error(*options: str) -> str:
    with pytest.raises(ImproperlyConfigured) as caught:
        call_command("import_litellm", *options)
    return str(caught.value)


def test_an_address_is_needed() -> None:
    expected = "Say where LiteLLM's database is: --database-url, or the variable LITELLM_DATABASE_URL."
    assert _error() == expected


@pytest.mark.sockets
def test_a_database_that_is_away_is_told_in_a_sentence() -> None:
    url = f"postgresql://llm:hunter2@127.0.0.1:{unused_port()}/litellm"
    assert _error("--database-url", url) == "LiteLLM's database cannot be reached: the connection is refused."


def test_a_salt_key_file_must_be_one(tmp_path: Path) -> None:
    file = tmp_path / "salt"
    assert _error("--database-url", "x", "--salt-key-file", str(file)).endswith("with the salt key cannot be read.")
    file.write_text(" \n")
    assert _error("--database-url", "x", "--salt-key-file", str(file)).endswith("with the salt key is empty.")
