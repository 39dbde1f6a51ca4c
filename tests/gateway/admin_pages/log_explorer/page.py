"""What tests of the list of calls make and look at."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User

from gateway.account.log_store import LogStore
from gateway.models import RequestLog
from tests.support.admin_lists import SEES_ALL, listed
from tests.support.entries import NOON, an_entry

LIST = "/admin/gateway/requestlog/"


def calls(*fields: dict[str, object]) -> None:
    entries = [
        an_entry(at=NOON + second, **{"request_id": f"req-{second}", **one}) for second, one in enumerate(fields)
    ]
    LogStore().store(entries, pytest.fail)


def found(user: User = SEES_ALL, **query: object) -> list[str]:
    return [row.request_id for row in listed(RequestLog, query, user=user).result_list]


def text(response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def sent(response) -> str:
    assert response.status_code == 200
    return b"".join(response.streaming_content).decode()
