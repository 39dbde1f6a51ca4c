"""What tests of the first page make and look at."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from gateway.account.log_store import LogStore
from gateway.account.relay_report import RelayReport
from gateway.admin_pages.home import attention as attention_page
from gateway.admin_pages.home import day
from tests.support.entries import an_entry
from upstreams.models import Upstream

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC).timestamp()
PARTS = ("attention", "figures", "upstreams", "tops", "chart")


def forget() -> None:
    """What pages remember for a while."""
    attention_page.forget()
    day.forget()


def an_upstream(name: str = "gpu-1", **fields: Any) -> Upstream:
    upstream = Upstream(name=name, url=f"http://{name}:8000", **fields)
    upstream.save()
    return upstream


def calls(*fields: dict[str, Any]) -> None:
    LogStore().store([an_entry(**{"at": time.time(), **one}) for one in fields], _refuse)


def _refuse(entry: dict[str, Any], error: Exception) -> None:
    pytest.fail(str(error))


def report(**facts: Any) -> None:
    RelayReport.objects.replace(node="n", worker="1", keys_version=1, facts=facts)


def text(html: bytes) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.decode()))


def home(client: Client) -> str:
    return text(client.get("/admin/").content)


def part(client: Client, name: str) -> str:
    response = client.get(f"/admin/home/{name}/")
    assert response.status_code == 200
    return text(response.content)


def chart(client: Client, **query: str) -> dict[str, int]:
    """The sums of each series."""
    data = client.get("/admin/home/chart/", query).json()
    return {one["name"]: sum(one["values"]) for one in data["series"]}
