"""Stored calls, and a client that reads their usage."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from gateway.account.log_store import LogStore
from keys.models import VirtualKey
from tests.support.entries import an_entry

MASTER = "sk-master-for-the-tests-only-0123456789"
NOW = datetime(2026, 5, 20, 12, 30, tzinfo=UTC)
DAY = 86_400.0


class API:
    """Reads with the master key, or another."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def ask(self, path: str, *, key: str | None = MASTER, **query: Any) -> Any:
        """The answer."""
        return self._client.get(path, query, headers={"authorization": f"Bearer {key}"} if key else {})

    def get(self, path: str, *, key: str = MASTER, **query: Any) -> Any:
        """The JSON of an answer that must be 200."""
        answer = self.ask(path, key=key, **query)
        assert answer.status_code == 200, answer.content
        return answer.json()

    def ids(self, path: str = "/spend/logs/v2", *, key: str = MASTER, **query: Any) -> list[str]:
        """The request ids of a page."""
        found = self.get(path, key=key, **query)
        return [row["request_id"] for row in (found["data"] if isinstance(found, dict) else found)]


def store(*entries: dict[str, Any]) -> None:
    """Stores calls as the recorder does, roll-ups included."""
    LogStore().store(list(entries), pytest.fail)


def at(days: float = 0, **fields: Any) -> dict[str, Any]:
    """A call so many days before NOW."""
    return an_entry(NOW.timestamp() - days * DAY, **fields)


@pytest.fixture
def api(client: Client, time_machine: Any) -> API:
    time_machine.move_to(NOW, tick=False)
    return API(client)


@pytest.fixture
def ann() -> tuple[VirtualKey, str]:
    """A key and its secret."""
    key, secret = VirtualKey.objects.issue(name="ann", user_id="ann", team_id="blue")
    return key, secret
