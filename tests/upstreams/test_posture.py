"""What a server lets anybody do, and what is said about it."""

from collections.abc import Iterator

import pytest

from tests.support import answers, vllm
from tests.support.ports import unused_port
from tests.support.upstream import Upstream as Server
from upstreams.base_url import is_this_host
from upstreams.posture import BAD, GOOD, QUIET, WARNING, Finding, Posture, findings, look, summary

CLOSED = Posture(dev_mode=False, models=False, invocations=False)
OPEN = Posture(dev_mode=True, models=True, invocations=True)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        vllm.serve(server)
        yield server


def finding(
    name: str, url: str = "http://gpu-1:8000", version: str = "0.32.0", found: Posture | None = CLOSED
) -> Finding:
    return next(one for one in findings(url, version, found) if one.name == name)


@pytest.mark.sockets
def test_it_works(server: Server) -> None:
    server.on("GET /is_sleeping", answers.json(200, {"is_sleeping": True}))
    server.on("GET /invocations", answers.json(405, {"detail": "Method Not Allowed"}))
    assert look(server.url) == Posture(dev_mode=True, models=True, invocations=True, asleep=True)


@pytest.mark.sockets
def test_a_guarded_server_has_nothing_open(server: Server) -> None:
    server.on("GET /v1/models", vllm.unauthorized())
    assert look(server.url) == CLOSED


@pytest.mark.sockets
def test_no_credential_is_sent_and_nothing_but_get_is_asked(server: Server) -> None:
    look(server.url)
    assert {request.method for request in server.requests} == {"GET"}
    assert not any(request.header("authorization") for request in server.requests)


@pytest.mark.sockets
def test_what_answers_with_no_json_is_not_known_to_sleep(server: Server) -> None:
    server.on("GET /is_sleeping", answers.body(b"<html>"))
    assert look(server.url) == Posture(dev_mode=True, models=True, invocations=False)


@pytest.mark.sockets
def test_a_server_that_does_not_answer_has_no_posture() -> None:
    assert look(f"http://127.0.0.1:{unused_port()}") is None


def test_what_is_stored_is_read_again() -> None:
    assert Posture.stored(CLOSED.as_json()) == CLOSED
    assert Posture.stored({}) is None


def test_a_version_with_grave_advisories_is_red_and_told_what_to_update_to() -> None:
    found = finding("Version", version="0.21.0")
    assert (found.kind, found.remedy) == (BAD, "Update vLLM to 0.32.0 or newer.")
    assert "CVE-2026-48746" in {one.id for one in found.advisories}


def test_a_version_with_lesser_advisories_is_a_warning() -> None:
    assert finding("Version", version="0.31.0").kind == WARNING


def test_a_version_without_any_is_green_and_says_of_when_the_list_is() -> None:
    found = finding("Version", version="0.32.0")
    assert (found.kind, "2026-" in found.text) == (GOOD, True)


@pytest.mark.parametrize("version", ["", "nightly"])
def test_an_unknown_version_is_neither_good_nor_bad(version: str) -> None:
    assert finding("Version", version=version).kind == QUIET


def test_dev_mode_is_red_beyond_this_host_and_a_warning_on_it() -> None:
    found = Posture(dev_mode=True, models=False, invocations=False)
    assert finding("Dev mode", found=found).kind == BAD
    assert finding("Dev mode", "http://127.0.0.1:8000", found=found).kind == WARNING
    assert finding("Dev mode").kind == GOOD


def test_an_open_server_is_told_how_to_get_a_key() -> None:
    found = finding("Without a key", found=Posture(dev_mode=False, models=True, invocations=True))
    assert (found.kind, "--api-key" in found.remedy) == (BAD, True)


def test_a_key_leaves_some_paths_open() -> None:
    assert finding("Without a key", found=Posture(dev_mode=False, models=False, invocations=True)).kind == WARNING
    assert finding("Without a key").kind == GOOD


def test_what_was_not_asked_yet_is_neither_good_nor_bad() -> None:
    assert finding("Dev mode", found=None).kind == finding("Without a key", found=None).kind == QUIET


def test_plain_http_is_red_beyond_this_host() -> None:
    assert finding("Transport").kind == BAD
    assert finding("Transport", "http://localhost:8000").kind == GOOD
    assert finding("Transport", "https://gpu-1").kind == GOOD


@pytest.mark.parametrize("url", ["http://127.0.0.2", "http://[::1]:8000", "http://gpu.localhost", "http://localhost."])
def test_this_host_has_several_names(url: str) -> None:
    assert is_this_host(url)


def test_another_host_is_not_this_one() -> None:
    assert not is_this_host("http://10.0.0.1:8000")


def test_whatever_is_not_good_has_a_remedy() -> None:
    found = Posture(dev_mode=True, models=True, invocations=True)
    assert all(one.remedy for one in findings("http://gpu-1", "0.21.0", found) if one.kind in {BAD, WARNING})


@pytest.mark.parametrize(
    ("url", "found", "told"),
    [
        ("http://gpu-1", CLOSED, (BAD, "Problem", "is called in plain HTTP")),
        ("http://gpu-1", OPEN, (BAD, "Problem", "is in dev mode; answers without a key; is called in plain HTTP")),
        ("http://localhost", OPEN, (WARNING, "Warning", "is in dev mode; answers without a key")),
        ("https://gpu-1", CLOSED, (GOOD, "Good", "")),
        ("https://gpu-1", None, (QUIET, "Not known", "")),
    ],
)
def test_the_gravest_is_told_in_one_badge(url: str, found: Posture | None, told: tuple[str, str, str]) -> None:
    assert summary(findings(url, "0.32.0", found)) == told
