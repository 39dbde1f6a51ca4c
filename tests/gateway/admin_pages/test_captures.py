"""Captures in the admin: who may start, stop and read them, and what the history says afterwards."""

from __future__ import annotations

import re
from datetime import timedelta
from importlib import import_module
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from gateway.account.call_ids import new_call_id
from gateway.admin_pages import captured_calls
from gateway.admin_pages.captures import time_left
from gateway.capture.models import CapturedPayload, PayloadCapture
from gateway.models import RequestLog
from keys.models import Team, VirtualKey
from tests.support.people import signed_in
from upstreams import crypto
from upstreams.models import Deployment, Upstream

pytestmark = pytest.mark.django_db

LIST = "/admin/gateway/payloadcapture/"
STARTER = ("gateway.add_payloadcapture", "gateway.view_payloadcapture")


@pytest.fixture
def key() -> VirtualKey:
    return VirtualKey.objects.issue(name="dev")[0]


def start(client: Any, **said: Any) -> Any:
    form = {"minutes": 60, "most_calls": 10, "reason": "Broken tool calls.", **said}
    return client.post(f"{LIST}add/", form)


def captured(capture: PayloadCapture, request: bytes = b'{"prompt": "Hello"}') -> CapturedPayload:
    return CapturedPayload.objects.create(
        call_id=UUID(new_call_id()),
        capture=capture,
        captured_at=timezone.now(),
        key_id=capture.key_id,
        team_id=capture.team_id,
        status=200,
        request_body=crypto.encrypt_bytes(request),
        request_bytes=len(request),
        response_body=crypto.encrypt_bytes(b"data: Good day\n\n"),
        response_bytes=17,
        response_cut=True,
    )


def capture_of(key: VirtualKey | None = None, **fields: Any) -> PayloadCapture:
    whom: dict[str, Any] = {"key_id": key.pk, "key_name": "dev", "team_id": key.team_id} if key else {}
    ends_at = timezone.now() + timedelta(hours=1)
    return PayloadCapture.objects.create(**whom, reason="A test.", started_by="ada", ends_at=ends_at, **fields)


def test_an_empty_list_says_what_to_do_next() -> None:
    assert b"Start a capture" in signed_in(*STARTER).get(LIST).content


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_capture_of_a_key_is_started(key: VirtualKey, by: str) -> None:
    client = signed_in(*STARTER)
    response = start(client, key="dev" if by == "name" else key.pk)
    row = PayloadCapture.objects.get()
    assert (response.status_code, response.headers["Location"]) == (302, f"{LIST}{row.pk}/change/")
    page = client.get(response.headers["Location"]).content.decode()
    assert all(words in page for words in ("The capture has started.", "Broken tool calls.", "60 min left"))
    assert (row.key_id, row.key_name, row.started_by, row.most_calls) == (key.pk, "dev", "ada", 10)
    assert timedelta(minutes=59) < row.ends_at - timezone.now() <= timedelta(minutes=60)
    assert row.is_active(timezone.now())


def test_a_capture_of_a_model_is_started() -> None:
    start(signed_in(*STARTER), model="alias", minutes=1440)
    assert str(PayloadCapture.objects.get()) == "model alias"


@pytest.mark.parametrize(("model", "is_warned"), [("tiny-chatt", True), ("tiny-chat", False), ("org/any", False)])
def test_a_model_that_nobody_serves_is_questioned(model: str, is_warned: bool) -> None:
    upstream = Upstream.objects.create(name="gpu-1", url="http://gpu-1:8000")
    for alias in ("tiny-chat", "org/*"):
        Deployment.objects.create(upstream=upstream, alias=alias)
    client = signed_in(*STARTER)
    form = client.get(f"{LIST}add/").content.decode()
    assert '<option value="tiny-chat">' in form
    assert '<option value="org/*">' not in form
    page = client.get(start(client, model=model).headers["Location"]).content.decode()
    assert (f"No upstream has a model called “{model}” now." in page) == is_warned


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({}, "Name a key or a model: one of the two."),
        ({"key": "dev", "model": "alias"}, "Name a key or a model: one of the two."),
        ({"key": "dev", "reason": " "}, "This field is required."),
        ({"key": "nobody"}, "There is no key with this name or id that you may see."),
        ({"key": "sk-abcdefghijklmnop"}, "This looks like a secret."),
        ({"key": "dev", "minutes": 2880}, "Select a valid choice."),
        ({"key": "dev", "most_calls": 0}, "greater than or equal to 1"),
    ],
)
def test_nonsense_gets_a_sentence(key: VirtualKey, said: Any, sentence: str) -> None:
    assert sentence in start(signed_in(*STARTER), **said).content.decode()
    assert not PayloadCapture.objects.exists()


def test_who_may_only_start_one_is_led_somewhere_they_may_be(key: VirtualKey) -> None:
    client = signed_in("gateway.add_payloadcapture")
    assert client.get(start(client, key="dev").headers["Location"]).status_code == 200
    assert PayloadCapture.objects.exists()


def test_starting_needs_its_own_permission(key: VirtualKey) -> None:
    assert start(signed_in("gateway.view_payloadcapture"), key="dev").status_code == 403


def test_stopping_ends_it_and_is_in_the_history(key: VirtualKey) -> None:
    row = capture_of(key)
    client = signed_in("gateway.view_payloadcapture", "gateway.change_payloadcapture")
    assert b"Stop now</button>" in client.get(f"{LIST}{row.pk}/change/").content
    client.post(f"{LIST}{row.pk}/stop/")
    row.refresh_from_db()
    assert (row.is_active(timezone.now()), row.stopped_by) == (False, "ada")
    assert LogEntry.objects.get().change_message == "Stopped."
    client.post(f"{LIST}{row.pk}/stop/")
    assert LogEntry.objects.count() == 1


def test_stopping_needs_its_own_permission(key: VirtualKey) -> None:
    row = capture_of(key)
    client = signed_in("gateway.view_payloadcapture")
    assert b"Stop now</button>" not in client.get(f"{LIST}{row.pk}/change/").content
    assert client.post(f"{LIST}{row.pk}/stop/").status_code == 403
    assert row.is_active(timezone.now())


def test_nothing_of_a_capture_can_be_changed(key: VirtualKey) -> None:
    row = capture_of(key)
    assert signed_in().post(f"{LIST}{row.pk}/change/", {"reason": "another"}).status_code == 403


def test_each_call_of_a_capture_can_be_read_and_looked_up(key: VirtualKey) -> None:
    row = capture_of(key)
    payload = captured(row)
    CapturedPayload.objects.filter(pk=captured(row).pk).update(unsent=True, status=429)
    page = signed_in().get(f"{LIST}{row.pk}/change/").content.decode()
    assert page.count(">Read<") == 2
    assert f"/admin/gateway/capturedpayload/{payload.pk}/change/" in page
    assert f"/admin/gateway/requestlog/{payload.pk}/change/" in page
    assert "1 of at most 1,000, and 1 that were refused" in re.sub(r"<[^>]+>", "", page)
    assert page.count("not sent") == 1


def test_every_call_of_a_long_capture_can_be_reached(key: VirtualKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured_calls, "PER_PAGE", 2)
    row, client = capture_of(key), signed_in()
    ids = [captured(row).pk.hex for _ in range(5)][::-1]
    query, pages = "", []
    while query is not None:
        page = client.get(f"{LIST}{row.pk}/change/{query}").content.decode()
        shown = re.findall("Read the payload of call ([0-9a-f]{32})", page)
        pages.append((shown, *re.findall(r"(?:The newest )?\d(?: to \d)? of 5", page)))
        query = next(iter(re.findall(r'rel="next" href="([^"]+)"', page)), None)
    assert pages == [(ids[:2], "The newest 2 of 5"), (ids[2:4], "3 to 4 of 5"), (ids[4:], "5 to 5 of 5")]
    newer = page.split('rel="prev" href="')[1].partition('"')[0]
    assert client.get(f"{LIST}{row.pk}/change/{newer}").context["calls"].words == "3 to 4 of 5, the newest first."


@pytest.mark.parametrize("query", ["", "?before=nonsense", "?after="])
def test_a_capture_that_fits_on_a_page_has_no_other(key: VirtualKey, query: str) -> None:
    row = capture_of(key)
    captured(row)
    page = signed_in().get(f"{LIST}{row.pk}/change/{query}").content.decode()
    assert page.count(">Read<") == 1
    assert not re.search(r'rel="(next|prev)"|The newest|Newest<', page)


def test_the_tab_of_each_page_says_what_it_is(key: VirtualKey) -> None:
    payload = captured(capture_of(key))
    client = signed_in()
    for path, title in (
        (LIST, "Payload captures"),
        (f"{LIST}add/", "Start a capture"),
        (f"{LIST}{payload.capture_id}/change/", "Payload capture: key dev"),
        (f"/admin/gateway/capturedpayload/{payload.pk}/change/", f"Payload of call {payload.call_id.hex}"),
    ):
        assert f"<title>{title} | " in client.get(path).content.decode()


@pytest.mark.parametrize(
    ("left", "words"),
    [(timedelta(seconds=20), "1 min left"), (timedelta(hours=23, minutes=1), "23 h 1 min left"), (timedelta(0), "")],
)
def test_the_time_that_is_left_is_told(left: timedelta, words: str) -> None:
    row = capture_of(model="alias")
    row.ends_at, row.captured = timezone.now() + left, 0  # type: ignore[attr-defined]
    assert time_left(row) == words
    row.captured = row.most_calls  # type: ignore[attr-defined]
    assert time_left(row) == ""


def test_reading_shows_the_bodies_and_is_in_the_history(key: VirtualKey) -> None:
    payload = captured(capture_of(key))
    client = signed_in("gateway.view_payloadcapture", "gateway.view_capturedpayload")
    page = client.get(f"/admin/gateway/capturedpayload/{payload.pk}/change/")
    assert "Hello" in page.content.decode()
    assert "of which only the beginning was kept" in page.content.decode()
    assert "no-store" in page.headers["Cache-Control"]
    assert [entry.change_message for entry in LogEntry.objects.all()] == [
        f"Read the payload of call {payload.call_id.hex}."
    ] * 2
    assert "Read the payload" in client.get(f"{LIST}{payload.capture_id}/history/").content.decode()


def test_reading_needs_its_own_permission(key: VirtualKey) -> None:
    payload = captured(capture_of(key))
    client = signed_in("gateway.view_payloadcapture", "gateway.change_payloadcapture", "gateway.add_payloadcapture")
    assert client.get(f"/admin/gateway/capturedpayload/{payload.pk}/change/").status_code == 403
    page = client.get(f"{LIST}{payload.capture_id}/change/").content.decode()
    assert f"capturedpayload/{payload.pk}" not in page
    assert not LogEntry.objects.exists()


def test_what_no_key_decrypts_is_said(key: VirtualKey) -> None:
    payload = captured(capture_of(key))
    CapturedPayload.objects.update(request_body="gAAAA-of-another-key")
    assert b"no longer has" in signed_in().get(f"/admin/gateway/capturedpayload/{payload.pk}/change/").content


def test_a_binary_body_is_not_shown(key: VirtualKey) -> None:
    payload = captured(capture_of(key), request=b"\xff\xfe\x00 sound of a voice")
    assert b"This is no text" in signed_in().get(f"/admin/gateway/capturedpayload/{payload.pk}/change/").content


def test_a_page_of_a_body_runs_no_script(key: VirtualKey) -> None:
    payload = captured(capture_of(key), request=b"<script>alert(1)</script>")
    page = signed_in().get(f"/admin/gateway/capturedpayload/{payload.pk}/change/").content
    assert b"<script>alert" not in page


def test_who_manages_a_team_sees_its_captures_only(key: VirtualKey) -> None:
    for team_id in ("crew", "others"):
        Team.objects.create(team_id=team_id)
    mine, theirs = (VirtualKey.objects.issue(name=team, team_id=team)[0] for team in ("crew", "others"))
    rows = {name: capture_of(row) for name, row in (("mine", mine), ("theirs", theirs), ("nobody", key))}
    rows["model"] = capture_of(model="alias")
    every = ("add_payloadcapture", "change_payloadcapture", "view_payloadcapture", "view_capturedpayload")
    client = signed_in(*(f"gateway.{name}" for name in every), teams=["crew"])
    seen = {name for name, row in rows.items() if client.get(f"{LIST}{row.pk}/change/").status_code == 200}
    assert seen == {"mine"}
    read = f"/admin/gateway/capturedpayload/{captured(rows['theirs']).pk}/change/"
    assert client.get(read).status_code != 200
    assert client.post(f"{LIST}{rows['theirs'].pk}/stop/").status_code == 404
    assert "of any team" in start(client, model="alias").content.decode()
    assert "that you may see" in start(client, key="others").content.decode()
    assert start(client, key="crew").status_code == 302


def test_what_was_captured_stays_with_its_team_when_the_key_goes_to_another() -> None:
    key, _ = VirtualKey.objects.issue(name="dev", team_id="support")
    payload = captured(capture_of(key))
    log_row_of(payload, team_id="support")
    VirtualKey.objects.update(team_id="marketing")
    every = ("gateway.view_payloadcapture", "gateway.view_capturedpayload", "gateway.view_requestlog")
    pages = (
        f"{LIST}{payload.capture_id}/change/",
        f"/admin/gateway/capturedpayload/{payload.pk}/change/",
        f"/admin/gateway/requestlog/{payload.pk}/change/",
    )
    for team, status in (("support", 200), ("marketing", 302)):
        client = signed_in(*every, name=team, teams=[team])
        assert [client.get(page).status_code for page in pages] == [status] * 3
    assert b"Rests: the key is of another team" in signed_in().get(LIST).content


def test_a_call_for_another_team_is_not_theirs_to_read_in_a_capture_of_theirs() -> None:
    key, _ = VirtualKey.objects.issue(name="dev", team_id="support")
    payload = captured(capture_of(key))
    CapturedPayload.objects.update(team_id="marketing")
    client = signed_in("gateway.view_payloadcapture", "gateway.view_capturedpayload", teams=["support"])
    assert payload.call_id.hex not in client.get(f"{LIST}{payload.capture_id}/change/").content.decode()
    assert client.get(f"/admin/gateway/capturedpayload/{payload.pk}/change/").status_code == 302


def test_captures_from_before_have_the_team_that_their_calls_were_for() -> None:
    moved, _ = VirtualKey.objects.issue(name="moved", team_id="marketing")
    there, _ = VirtualKey.objects.issue(name="there", team_id="sales")
    rows = [capture_of(moved), capture_of(there), capture_of(model="alias")]
    for team in ("support", "marketing"):
        log_row_of(captured(rows[0]), team_id=team)
    payloads = [log_row_of(captured(row), team_id="others") for row in rows[2:]]
    unlogged = captured(rows[1])
    for table in (PayloadCapture, CapturedPayload):
        table._default_manager.update(team_id=None)
    CapturedPayload.objects.filter(pk__in=[one.pk for one in payloads]).update(key_id=7)
    import_module("gateway.migrations.0022_team_of_captures").fill(apps, None)
    assert [PayloadCapture.objects.get(pk=row.pk).team_id for row in rows] == ["support", "sales", None]
    told = CapturedPayload.objects.order_by("call_id").values_list("team_id", flat=True)
    assert list(told) == ["support", "marketing", "others", None]
    assert CapturedPayload.objects.get(team_id=None) == unlogged


def test_who_manages_a_team_captures_no_key_that_manages_and_sees_no_capture_of_one() -> None:
    key, _ = VirtualKey.objects.issue(name="manager", team_id="crew", key_type="management")
    client = signed_in(*STARTER, teams=["crew"])
    assert client.get(f"{LIST}{capture_of(key).pk}/change/").status_code == 302
    assert "that you may see" in start(client, key="manager").content.decode()
    assert client.get(f"{LIST}add/").context["known_keys"] == []


def test_the_list_tells_the_state_of_each(key: VirtualKey) -> None:
    capture_of(key)
    capture_of(model="full", most_calls=0)
    capture_of(model="over").stop("bob")
    page = signed_in().get(LIST).content.decode()
    for word in ("Captures now", "Full", "Stopped by bob"):
        assert word in page


def test_the_page_of_a_call_leads_to_its_payload_and_repeats_it_on_request(key: VirtualKey) -> None:
    payload = captured(capture_of(key))
    log_row_of(payload)
    page = f"/admin/gateway/requestlog/{payload.pk}/change/"
    reader = signed_in("gateway.view_requestlog", "gateway.view_capturedpayload")
    text = reader.get(page).content.decode()
    assert f"/admin/gateway/capturedpayload/{payload.pk}/change/" in text
    assert "Hello" not in text
    assert not LogEntry.objects.exists()
    assert "Hello" in reader.get(f"{page}?payload=1").content.decode()
    assert LogEntry.objects.count() == 2
    other = signed_in("gateway.view_requestlog", name="bob")
    text = other.get(f"{page}?payload=1").content.decode()
    assert "capturedpayload" not in text
    assert "Hello" not in text


def log_row_of(payload: CapturedPayload, **fields: Any) -> CapturedPayload:
    RequestLog.objects.create(
        call_id=payload.call_id,
        request_id="r",
        received_at=timezone.now(),
        method="POST",
        route="/v1/chat/completions",
        outcome="completed",
        usage_source="none",
        status=200,
        **fields,
    )
    return payload
