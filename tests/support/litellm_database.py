"""A PostgreSQL database with LiteLLM's tables, made by its own migrations, and rows in them.

For the run on PostgreSQL; what only makes rows is for both.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
from cryptography.hazmat.primitives.poly1305 import Poly1305
from psycopg import sql
from psycopg.types.json import Jsonb

from gateway.importing.sealed import _stream
from tests.support.databases import new_database

SALT_KEY = "sk-the-salt-key-of-the-tests"


def digest(secret: str) -> str:
    """What LiteLLM stores of a key."""
    return hashlib.sha256(secret.encode()).hexdigest()


def sealed(text: str, key: str = SALT_KEY) -> str:
    """As LiteLLM's database has a parameter: PyNaCl's secret box in base64 (test_sealed has real ones)."""
    nonce, plain = bytes(range(24)), text.encode()
    stream = _stream(hashlib.sha256(key.encode()).digest(), nonce, 32 + len(plain))
    cipher = bytes(a ^ b for a, b in zip(plain, stream[32:], strict=True))
    mac = Poly1305.generate_tag(stream[:32], cipher)
    return base64.urlsafe_b64encode(nonce + mac + cipher).decode()


def key_row(secret: str, alias: str | None = None, **columns: Any) -> dict[str, Any]:
    """A row of LiteLLM_VerificationToken."""
    return {"token": digest(secret), "key_name": f"sk-...{secret[-4:]}", "key_alias": alias, **columns}


def model_row(name: str, *, model_id: str | None = None, info: Mapping[str, Any] | None = None, **params: Any) -> Any:
    """A row of LiteLLM_ProxyModelTable, its texts encrypted."""
    whole = {"model": f"hosted_vllm/{name}", "api_base": "http://gpu:8000/v1", **params}
    return {
        "model_id": model_id or f"id-of-{name}",
        "model_name": name,
        "litellm_params": {one: sealed(value) if isinstance(value, str) else value for one, value in whole.items()},
        "model_info": {"id": model_id or f"id-of-{name}", "db_model": True, **(info or {})},
    }


class LiteLLMDatabase:
    """`url` is what LiteLLM would have as its DATABASE_URL."""

    def __init__(self) -> None:
        self.url = new_database()
        package = find_spec("litellm_proxy_extras")
        assert package is not None
        assert package.origin is not None
        files = sorted((Path(package.origin).parent / "migrations").glob("*/migration.sql"))
        with psycopg.connect(self.url) as connection:
            for file in files:
                # In one transaction, where "concurrently" may not be.
                connection.execute(file.read_bytes().replace(b"INDEX CONCURRENTLY", b"INDEX"))

    def execute(self, statement: str, *values: Any) -> None:
        """One statement."""
        with psycopg.connect(self.url) as connection:
            connection.execute(statement.encode(), values)

    def insert(self, table: str, **columns: Any) -> None:
        """One row; what LiteLLM's columns need and is not given is filled in."""
        with psycopg.connect(self.url) as connection:
            kinds = dict(
                connection.execute(
                    "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s", [table]
                ).fetchall()
            )
            needed = {name: "test" for name in ("created_by", "updated_by") if name in kinds}
            if "updated_at" in kinds:
                needed["updated_at"] = "2026-11-01"
            whole = {**needed, **columns}
            statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                sql.Identifier(table),
                sql.SQL(", ").join(map(sql.Identifier, whole)),
                sql.SQL(", ").join([sql.Placeholder()] * len(whole)),
            )
            values = [Jsonb(value) if kinds[name] == "jsonb" else value for name, value in whole.items()]
            connection.execute(statement, values)

    def key(self, secret: str, alias: str | None = None, **columns: Any) -> None:
        """A key."""
        self.insert("LiteLLM_VerificationToken", **key_row(secret, alias, **columns))

    def model(self, name: str, **params: Any) -> None:
        """A model."""
        self.insert("LiteLLM_ProxyModelTable", **model_row(name, **params))
