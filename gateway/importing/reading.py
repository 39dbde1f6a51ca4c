"""Reads LiteLLM's tables as plain rows, in one read-only transaction. Knows nothing of what they mean here.

Which columns there are depends on LiteLLM's version: those that are missing are missing in the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from gateway.importing.errors import CannotImport

Row = Mapping[str, Any]

SECONDS_TO_CONNECT = 10

KEYS, TEAMS, USERS = "LiteLLM_VerificationToken", "LiteLLM_TeamTable", "LiteLLM_UserTable"
END_USERS, BUDGETS, MODELS = "LiteLLM_EndUserTable", "LiteLLM_BudgetTable", "LiteLLM_ProxyModelTable"
OLD_SECRETS, TEAM_ALIASES = "LiteLLM_DeprecatedVerificationToken", "LiteLLM_ModelTable"
MEMBERS, CREDENTIALS = "LiteLLM_TeamMembership", "LiteLLM_CredentialsTable"

_NEEDED = {KEYS: "token"}
_ORDER = {
    KEYS: ("key_alias", "token"),
    TEAMS: ("team_alias", "team_id"),
    USERS: ("user_id",),
    END_USERS: ("user_id",),
    BUDGETS: ("budget_id",),
    MODELS: ("model_name", "model_id"),
    OLD_SECRETS: ("token",),
    TEAM_ALIASES: ("id",),
    MEMBERS: ("team_id", "user_id"),
    CREDENTIALS: ("credential_name",),
}
_NEVER_READ = {"password"}

# What Prisma, LiteLLM's database client, understands in a URL and PostgreSQL does not.
_PRISMA = {"schema", "connection_limit", "pool_timeout", "pgbouncer", "socket_timeout", "statement_cache_size"}
_PRISMA |= {"sslaccept", "sslidentity", "sslpassword", "single_use_connections"}


@dataclass(frozen=True, slots=True)
class Tables:
    """The rows of each table that is there. `source` names the database, without user and password."""

    source: str
    rows: Mapping[str, list[Row]]

    def of(self, table: str) -> list[Row]:
        """The table's rows; none where this version of LiteLLM has no such table."""
        return self.rows.get(table, [])


def read(url: str) -> Tables:
    """All rows that an import looks at, as of one moment. Raises CannotImport."""
    address, schema = _address(url)
    try:
        with psycopg.connect(address, connect_timeout=SECONDS_TO_CONNECT, row_factory=dict_row) as connection:
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            if schema:
                connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(sql.Identifier(schema)))
            columns = _columns(connection)
            _refuse_others(columns)
            source = f"{connection.info.host}:{connection.info.port}/{connection.info.dbname}"
            found = {name: _rows(connection, name, columns[name]) for name in _ORDER if name in columns}
            return Tables(f"{source}?{schema}" if schema else source, found)
    except psycopg.OperationalError as error:
        raise CannotImport(f"LiteLLM's database cannot be reached{_reason(error)}.") from error
    except psycopg.Error as error:
        raise CannotImport(f"LiteLLM's tables cannot be read ({type(error).__name__}).") from error


def _address(url: str) -> tuple[str, str]:
    """The URL as PostgreSQL takes it, and the schema that Prisma would use. Raises CannotImport."""
    try:
        parts = urlsplit(url.strip())
        if parts.scheme not in {"postgres", "postgresql"} or parts.port == 0:  # asking for it judges it
            raise CannotImport("The database's URL must begin with postgresql://, as LiteLLM's DATABASE_URL does.")
        options = parse_qsl(parts.query, keep_blank_values=True)
        # Of a socket's directory, which may be a query's value, psycopg reads no "+" as a blank.
        query = urlencode([pair for pair in options if pair[0] not in _PRISMA], quote_via=quote)
        address = urlunsplit(parts._replace(query=query))
        conninfo_to_dict(address)
    except (psycopg.Error, ValueError) as error:
        raise CannotImport("The database's URL cannot be understood.") from error
    return address, dict(options).get("schema", "")


def _columns(connection: psycopg.Connection[Row]) -> dict[str, set[str]]:
    """The columns of each table of LiteLLM's that the name alone finds."""
    rows = connection.execute(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_name = ANY(%s) AND table_schema = current_schema()",
        [list(_ORDER)],
    )
    columns: dict[str, set[str]] = {}
    for row in rows:
        columns.setdefault(row["table_name"], set()).add(row["column_name"])
    return columns


def _refuse_others(columns: Mapping[str, set[str]]) -> None:
    for table, column in _NEEDED.items():
        if column not in columns.get(table, ()):
            raise CannotImport(
                f"This is not a database of LiteLLM: it has no table {table} with a column {column},"
                " or its user may not see it."
            )


def _rows(connection: psycopg.Connection[Row], table: str, columns: set[str]) -> list[Row]:
    names = sql.SQL(", ").join(map(sql.Identifier, sorted(columns - _NEVER_READ)))
    statement = sql.SQL("SELECT {} FROM {}").format(names, sql.Identifier(table))
    order = [sql.Identifier(name) for name in _ORDER[table] if name in columns]
    if order:
        statement += sql.SQL(" ORDER BY ") + sql.SQL(", ").join(order)
    return list(connection.execute(statement))


def _reason(error: psycopg.OperationalError) -> str:
    """The kind of failure; the driver's own text may repeat the address and the user."""
    text = str(error).lower()
    for sign, words in (
        ("authentication failed", "user or password is wrong"),
        ("does not exist", "there is no such database or user"),
        ("refused", "the connection is refused"),
        ("timeout", "it does not answer"),
        ("ssl", "TLS does not work"),
        ("resolve", "its name is not known"),
        ("name or service", "its name is not known"),
    ):
        if sign in text:
            return f": {words}"
    return ""
