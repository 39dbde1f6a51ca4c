"""A look at a server that is no upstream yet."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.support import answers, vllm
from tests.support.upstream import Upstream as Server
from upstreams import preview

pytestmark = pytest.mark.sockets


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        vllm.serve(server)
        yield server


def test_it_works(server: Server) -> None:
    seen = preview.look(f" {server.url}/v1/ ", "")
    assert (seen.url, seen.check.healthy, seen.check.version) == (server.url, True, "0.32.0")
    assert seen.check.models == ("tiny-chat",)
    assert [one.name for one in seen.findings] == ["Version", "Dev mode", "Without a key", "Transport"]


@pytest.mark.parametrize("url", ["gpu-1:8000", "http://me:secret@gpu-1", "file:///etc/passwd", ""])
def test_what_is_no_url_is_told_and_nobody_is_asked(url: str) -> None:
    seen = preview.look(url, "")
    assert not seen.check.healthy
    assert seen.check.text.startswith("The URL")
    assert not seen.savable


def test_a_credential_that_cannot_be_sent_is_told(server: Server) -> None:
    assert "The credential must be" in preview.look(server.url, "two words").check.text
    assert not server.requests


def test_a_server_that_is_not_well_has_no_findings(server: Server) -> None:
    server.on("GET /health", vllm.health(503))
    assert preview.look(server.url, "").findings == ()


def test_it_is_given_up_in_time(server: Server) -> None:
    server.on("GET /health", answers.silence())
    assert "given up" in preview.look(server.url, "", seconds=0.1).check.text


def test_not_too_many_look_at_once(server: Server) -> None:
    taken = [preview._at_once.acquire(blocking=False) for _ in range(5)]
    try:
        assert "try again in a moment" in preview.look(server.url, "").check.text
    finally:
        for _ in filter(None, taken):
            preview._at_once.release()


def test_what_was_seen_is_told_once_and_to_who_knows_the_credential(server: Server) -> None:
    preview.look(server.url + "/v1/", "secret")
    assert preview.seen_of(server.url, "another") is None
    seen = preview.seen_of(server.url, "secret")
    assert seen is not None
    assert (seen.check.version, seen.posture is not None) == ("0.32.0", True)
    assert preview.seen_of(server.url, "secret") is None


def test_what_was_seen_is_forgotten_in_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    preview.look(server.url, "")
    monkeypatch.setattr(preview, "KEPT_FOR", timedelta(0))
    assert preview.seen_of(server.url, "") is None
