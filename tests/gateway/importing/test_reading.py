"""LiteLLM's database is read as its own migrations make it, and as older versions had it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import psycopg
import pytest

from gateway.importing import reading
from gateway.importing.errors import CannotImport
from gateway.importing.reading import read
from gateway.importing.servers import read_models
from gateway.importing.theirs import read_people_and_keys
from tests.support import databases
from tests.support.litellm_database import SALT_KEY, LiteLLMDatabase, digest
from tests.support.ports import unused_port

on_postgresql = pytest.mark.skipif(not databases.on_postgresql(), reason="is for the run on PostgreSQL")
SECRET = "sk-a-developers-old-key"


@pytest.fixture(scope="module")
def litellm() -> LiteLLMDatabase:
    database = LiteLLMDatabase()
    database.insert(
        "LiteLLM_BudgetTable", budget_id="b", max_budget=7.0, budget_duration="30d", budget_reset_at="2099-01-01"
    )
    members = [{"user_id": "u", "role": "admin"}]
    database.insert("LiteLLM_TeamTable", team_id="t", team_alias="Research", members_with_roles=members, models=["a"])
    database.insert("LiteLLM_UserTable", user_id="u", user_email="ada@x", password="hunter2", models=[])
    database.insert("LiteLLM_EndUserTable", user_id="c", budget_id="b", spend=1.5)
    database.insert("LiteLLM_TeamMembership", user_id="u", team_id="t", budget_id="b")
    database.key(
        SECRET,
        "ada",
        user_id="u",
        team_id="t",
        models=["a", "b-*"],
        max_budget=1.5,
        rpm_limit=5,
        metadata={"model_rpm_limit": {"a": 2}},
        budget_limits=[{"budget_duration": "1h", "max_budget": 2}],
        expires="2099-01-01",
        allowed_routes=["/vllm/*"],
    )
    database.model("chat", api_key="hunter2")
    return database


@pytest.fixture
def empty() -> Iterator[tuple[str, psycopg.Connection[tuple[object, ...]]]]:
    """A database without tables: its URL, and a connection."""
    url = databases.new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        yield url, connection


@on_postgresql
def test_litellm_s_own_tables_are_understood(litellm: LiteLLMDatabase) -> None:
    tables = read(litellm.url)
    wishes = read_people_and_keys(tables, datetime.now(UTC))
    read_models(tables, SALT_KEY, wishes)
    assert not wishes.refused
    team, owner, end_user, key, model = wishes.rows
    assert (team.values["alias"], team.values["models"], team.values["members"][0]["user_id"]) == (
        "Research",
        ["a"],
        "u",
    )
    assert owner.values["email"] == "ada@x"
    assert (end_user.values["max_budget"], end_user.spent.units) == (Decimal(7), 15_000_000_000)
    assert key.source_id == digest(SECRET)
    assert (key.values["models"], key.values["model_rpm_limit"]) == (["a", "b-*"], {"a": 2})
    assert key.values["budget_limits"] == [{"budget_duration": "1h", "max_budget": 2.0}]
    assert key.values["expires_at"] == datetime(2099, 1, 1, tzinfo=UTC)
    assert (model.values["served_name"], model.values["credential"]) == ("chat", "hunter2")


@on_postgresql
def test_no_password_is_read(litellm: LiteLLMDatabase) -> None:
    assert "password" not in read(litellm.url).of(reading.USERS)[0]


@on_postgresql
def test_nothing_can_be_written(litellm: LiteLLMDatabase) -> None:
    """A view that writes fails: the transaction is read-only."""
    litellm.execute("CREATE SCHEMA writes")
    litellm.execute("CREATE TABLE writes.calls (at int)")
    litellm.execute(
        "CREATE FUNCTION writes.note() RETURNS text LANGUAGE sql AS"
        " $$ INSERT INTO writes.calls VALUES (1) RETURNING 'x' $$"
    )
    litellm.execute('CREATE VIEW writes."LiteLLM_VerificationToken" AS SELECT writes.note() AS token')
    with pytest.raises(CannotImport, match=r"^LiteLLM's tables cannot be read \(ReadOnlySqlTransaction\)\.$"):
        read(f"{litellm.url}&schema=writes")


@on_postgresql
def test_what_prisma_writes_into_a_url_is_understood(litellm: LiteLLMDatabase) -> None:
    url = f"{litellm.url}&schema=public&connection_limit=10&pool_timeout=60&pgbouncer=true"
    assert len(read(url).of(reading.KEYS)) == 1


@on_postgresql
def test_the_source_names_the_database_and_not_its_user(litellm: LiteLLMDatabase) -> None:
    source = read(litellm.url).source
    assert "postgres:@" not in source
    assert source.endswith(litellm.url.partition("?")[0].rpartition("/")[2])


@on_postgresql
def test_an_old_version_with_few_columns_is_read(empty: tuple[str, psycopg.Connection[tuple[object, ...]]]) -> None:
    url, connection = empty
    connection.execute('CREATE TABLE "LiteLLM_VerificationToken" (token text, spend float8, models text[])')
    connection.execute('INSERT INTO "LiteLLM_VerificationToken" VALUES (%s, 1.5, ARRAY[%s])', [digest(SECRET), "m"])
    wishes = read_people_and_keys(read(url), datetime.now(UTC))
    assert wishes.rows[0].values["models"] == ["m"]


@on_postgresql
def test_another_database_is_not_taken_for_litellm_s(
    empty: tuple[str, psycopg.Connection[tuple[object, ...]]],
) -> None:
    with pytest.raises(CannotImport, match="This is not a database of LiteLLM"):
        read(empty[0])


@on_postgresql
def test_a_wrong_database_is_told_in_a_sentence(litellm: LiteLLMDatabase) -> None:
    wrong = litellm.url.replace("?", "_x?")
    with pytest.raises(CannotImport) as caught:
        read(wrong)
    assert str(caught.value) == "LiteLLM's database cannot be reached: there is no such database or user."


@pytest.mark.sockets
def test_a_server_that_is_away_is_told_in_a_sentence() -> None:
    with pytest.raises(CannotImport) as caught:
        read(f"postgresql://llm:hunter2@127.0.0.1:{unused_port()}/litellm")
    assert str(caught.value) == "LiteLLM's database cannot be reached: the connection is refused."


@pytest.mark.parametrize(
    "url", ["", "mysql://x/y", "postgresql://h:port/x", "postgresql://h/x?nonsense=1", "postgres://["]
)
def test_a_url_that_cannot_be_one_is_told_in_a_sentence(url: str) -> None:
    with pytest.raises(CannotImport, match=r"^The database's URL "):
        read(url)
