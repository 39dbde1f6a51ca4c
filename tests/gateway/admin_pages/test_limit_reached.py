"""The page of a call that a limit refused: the caller can wait, until when, and an admin can raise the limit, where."""

import re
import time

import pytest
from django.test import Client

from gateway.account.log_store import LogStore
from gateway.models import RequestLog
from keys.errors import LimitExceeded
from keys.models import VirtualKey
from tests.support.entries import an_entry
from tests.support.people import signed_in

pytestmark = pytest.mark.django_db


def refused(key: VirtualKey, limit: str = "requests") -> RequestLog:
    error = LimitExceeded(subject="dev", limit=limit, ceiling=60, remaining=0, retry_after=30)
    fields = {"outcome": "refused", "status": 429, "error_type": error.type, "error_text": error.message}
    LogStore().store([an_entry(at=time.time(), key_id=key.pk, key_name="dev", **fields)], pytest.fail)
    return RequestLog.objects.get()


def why(client: Client, call: RequestLog) -> str:
    html = client.get(f"/admin/gateway/requestlog/{call.pk}/change/").content.decode()
    return re.search(r'<ul class="why-ways">(.*?)</section>', html, re.DOTALL)[1]


@pytest.fixture
def key() -> VirtualKey:
    return VirtualKey.objects.issue(name="dev", rpm_limit=60)[0]


def test_the_caller_waits_or_an_admin_raises_it(key) -> None:
    said = why(signed_in(), refused(key))
    assert re.search(r"calls again after <time datetime=", said)
    assert "raises “Calls a minute”, which was 60, on" in said
    assert "the page of the virtual key." in said
    assert f'href="/admin/keys/virtualkey/{key.pk}/change/">Open the virtual key</a>' in said


def test_the_list_of_calls_says_that_it_was_a_limit(key) -> None:
    refused(key)
    listed = signed_in().get("/admin/gateway/requestlog/").content.decode()
    assert "limit: calls a minute of the virtual key" in listed


def test_who_may_not_see_the_key_is_sent_nowhere(key) -> None:
    said = why(signed_in("gateway.view_requestlog"), refused(key))
    assert "on the page of the virtual key." in said
    assert re.findall(r'href="([^"]*)"', said) == ["/admin/gateway/requestlog/?error_type=throttling_error"]


def test_a_place_is_waited_for(key) -> None:
    said = why(signed_in(), refused(key, "max_parallel_requests"))
    assert "when one of the open calls has ended" in said
