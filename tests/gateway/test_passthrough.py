"""One request through the relay's steps, without a web server: what is counted, told and ended when a step fails."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from pytest_django import Settings

from gateway.account.entry import Entry
from gateway.account.journal import Journal
from gateway.cuts import CallCut, client_gone
from gateway.errors import NotServing
from gateway.passthrough import PassThrough
from gateway.plane import RelayPlane
from keys.models import VirtualKey
from keys.registry import KeyRegistry
from tests.support import answers, vllm
from tests.support.exchange import Exchange
from tests.support.ports import unused_port
from tests.support.upstream import Upstream
from upstreams.models import Deployment
from upstreams.models import Upstream as UpstreamRow
from upstreams.pool import UpstreamPool

pytestmark = [pytest.mark.sockets, pytest.mark.django_db]


class Keeping(Journal):
    """A journal that keeps what it is told."""

    def __init__(self, directory: Any) -> None:
        super().__init__(directory)
        self.lines: list[Entry] = []

    def ended(self, entry: Entry) -> None:
        self.lines.append(entry)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        vllm.serve(upstream)
        yield upstream


@pytest.fixture
def plane(upstream: Upstream, tmp_path: Any) -> Iterator[RelayPlane]:
    plane = RelayPlane(KeyRegistry(), UpstreamPool())
    plane.journal = Keeping(tmp_path)
    row = UpstreamRow.objects.create(name="one", url=upstream.url, is_default=True)
    Deployment.objects.create(upstream=row, alias="alias", served_name="tiny-chat")
    plane.refresh()
    yield plane
    plane.stop()
    plane.client.forget(upstream.url)


def _answer(
    plane: RelayPlane, secret: str, target: str = "/vllm/v1/chat/completions", body: Any = None, method: str = "POST"
) -> Any:
    data = b"" if body is None else json.dumps(body).encode()
    environ = {
        "REQUEST_METHOD": method,
        "RAW_URI": target,
        "CONTENT_LENGTH": str(len(data)),
        "CONTENT_TYPE": "application/json",
        "REMOTE_ADDR": "192.0.2.1",
        "HTTP_AUTHORIZATION": f"Bearer {secret}",
        "wsgi.input": io.BytesIO(data),
    }
    return PassThrough(environ, plane).answer()


def _entry(plane: RelayPlane) -> Entry:
    (entry,) = plane.journal.lines  # type: ignore[attr-defined]
    assert not len(plane.open_calls)
    return entry  # type: ignore[no-any-return]


def _key(**fields: Any) -> str:
    return VirtualKey.objects.issue(**fields)[1]


def test_a_call_is_answered_and_accounted(plane: RelayPlane) -> None:
    response = _answer(plane, _key(name="dev"), body={"model": "alias"})
    assert json.loads(b"".join(response))["object"] == "chat.completion"
    response.close()
    entry = _entry(plane)
    assert (entry["outcome"], entry["key_name"], entry["served_model"]) == ("completed", "dev", "tiny-chat")
    assert (entry["prompt_tokens"], entry["completion_tokens"]) == (13, 12)


def test_an_unsafe_path_is_nobody_s_call(plane: RelayPlane) -> None:
    assert _answer(plane, "sk-whatever", "/vllm/../x").status_code == 400
    assert plane.journal.lines == []  # type: ignore[attr-defined]


def test_an_unknown_key_is_only_counted(plane: RelayPlane) -> None:
    assert _answer(plane, "sk-nobody-knows-this-one").status_code == 401
    assert (plane.unlisted.unknown_keys, plane.journal.lines) == (1, [])  # type: ignore[attr-defined]


def test_what_has_no_row_is_counted_by_its_reason(plane: RelayPlane) -> None:
    _answer(plane, "sk-nobody-knows-this-one")
    _answer(plane, "a password")
    _answer(plane, "", "/vllm/../x")
    plane.draining = True
    _answer(plane, _key())
    told = [(one["reason"], one["address"]) for one in plane.unlisted.callers()]
    assert [reason for reason, _ in told] == ["not_serving", "unsafe_path", "malformed", "unknown"]
    assert {address for _, address in told} == {"192.0.2.1"}
    assert plane.journal.lines == []  # type: ignore[attr-defined]


def test_a_call_begins_when_its_head_is_there(plane: RelayPlane) -> None:
    _answer(plane, _key(models=["other"]), body={"model": "alias"})
    entry = _entry(plane)
    assert entry["decisions"]["at"]["began"] == 0
    assert entry["decisions"]["at"]["checked"] / 1e6 <= entry["ended_at"] - entry["received_at"] + 0.002


def test_a_refusal_of_a_known_key_is_accounted(plane: RelayPlane) -> None:
    response = _answer(plane, _key(models=["other"]), body={"model": "alias"})
    assert response.status_code == 403
    entry = _entry(plane)
    assert (entry["outcome"], entry["status"]) == ("refused", 403)
    assert entry["error_type"] == "key_model_access_denied"


def test_without_an_upstream_it_is_the_upstream_s_failure(plane: RelayPlane) -> None:
    for row in UpstreamRow.objects.all():
        row.state = "disabled"
        row.save()
    plane.refresh()
    assert _answer(plane, _key(), body={"model": "alias"}).status_code == 503
    assert _entry(plane)["outcome"] == "upstream_failed"


def test_an_error_of_the_upstream_is_told_by_its_kind(plane: RelayPlane, upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", vllm.error(400, "The prompt 'quoted' is too long."))
    response = _answer(plane, _key(), body={"model": "alias"})
    assert b"quoted" in b"".join(response)
    response.close()
    entry = _entry(plane)
    assert (entry["outcome"], entry["error_type"]) == ("completed", "BadRequestError")
    assert "quoted" not in str(entry)


def test_a_fault_of_ours_is_a_500_that_says_nothing(plane: RelayPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(plane.pool, "candidates", fail)
    response = _answer(plane, _key(), body={"model": "alias"})
    assert (response.status_code, b"secret" in response.content) == (500, False)
    assert _entry(plane)["outcome"] == "gateway_failed"


def test_a_worker_that_exits_ends_its_calls(plane: RelayPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(*arguments: object) -> None:
        raise SystemExit

    monkeypatch.setattr(plane.pool, "candidates", leave)
    with pytest.raises(SystemExit):
        _answer(plane, _key(), body={"model": "alias"})
    assert _entry(plane)["outcome"] == "gateway_failed"


@pytest.mark.parametrize("cut", [client_gone(), CallCut(client_gone().outcome, NotServing())])
def test_a_cut_before_the_answer_ends_the_call(
    plane: RelayPlane, monkeypatch: pytest.MonkeyPatch, cut: CallCut
) -> None:
    def leave(*arguments: object) -> None:
        raise cut

    monkeypatch.setattr(plane.pool, "candidates", leave)
    response = _answer(plane, _key(), body={"model": "alias"})
    assert response.status_code == (499 if cut.error is None else 503)
    assert _entry(plane)["status"] == (None if cut.error is None else 503)


def test_what_an_upstream_did_for_a_call_without_an_answer_is_unknown(plane: RelayPlane, upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", answers.reset())
    assert _answer(plane, _key(), body={"model": "alias"}).status_code == 502
    assert _entry(plane)["usage_source"] == "unknown"


def test_an_upstream_that_refused_the_connection_did_nothing(plane: RelayPlane, upstream: Upstream) -> None:
    upstream.stop()
    assert _answer(plane, _key(), body={"model": "alias"}).status_code == 502
    assert _entry(plane)["usage_source"] == "none"


def test_a_status_that_is_none_is_the_upstream_s_failure(plane: RelayPlane, upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", answers.raw(b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n"))
    response = _answer(plane, _key(), body={"model": "alias"})
    assert response.status_code == 502
    assert _entry(plane)["outcome"] == "upstream_failed"
    upstream.wait_for(lambda: not upstream.open_connections)


def test_an_answer_that_cannot_be_told_gives_its_upstream_back(
    plane: RelayPlane, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise ValueError("a header that Django refuses")

    monkeypatch.setattr("gateway.passthrough.headers.for_client", fail)
    assert _answer(plane, _key(), body={"model": "alias"}).status_code == 500
    assert _entry(plane)["outcome"] == "gateway_failed"
    upstream.wait_for(lambda: not upstream.open_connections)


def test_the_times_of_an_upstream_that_failed_do_not_hold_at_the_next(plane: RelayPlane, upstream: Upstream) -> None:
    hasty = UpstreamRow.objects.create(name="hasty", url=f"http://127.0.0.1:{unused_port()}", first_byte_timeout=0.5)
    for row in (hasty, UpstreamRow.objects.get(name="one")):
        Deployment.objects.create(upstream=row, alias="shared")
    plane.refresh()
    limits: list[object] = []

    def note(exchange: Exchange) -> None:
        limits.extend(call.limits for call in plane.open_calls)
        exchange.answer(200, [], b"{}")

    upstream.on("POST /v1/chat/completions", note)
    secret = _key()
    for _ in range(2):  # they take turns: the second call meets the one that refuses first
        _answer(plane, secret, body={"model": "shared"}).close()
    assert [line["attempts"] for line in plane.journal.lines] == [1, 2]  # type: ignore[attr-defined]
    assert limits == [None, None]


def test_a_place_is_given_back_at_the_end(plane: RelayPlane) -> None:
    secret = _key(max_parallel_requests=1)
    response = _answer(plane, secret, body={"model": "alias"})
    assert _answer(plane, secret, body={"model": "alias"}).status_code == 429
    b"".join(response)
    response.close()
    gevent.sleep(0)  # with PostgreSQL it is given back beside the calls
    again = _answer(plane, secret, body={"model": "alias"})
    assert again.status_code == 200
    again.close()


@pytest.mark.django_db(transaction=True)  # likewise
def test_a_refused_call_tells_how_the_limit_stood(plane: RelayPlane) -> None:
    secret = _key(rpm_limit=1, max_parallel_requests=9)
    for status in (200, 429):
        response = _answer(plane, secret, body={"model": "alias"})
        assert response.status_code == status
        response.close()
    parallel, rate = sorted(plane.journal.lines[-1]["decisions"]["limits"])  # type: ignore[attr-defined]
    assert parallel == ("key", "max_parallel_requests", None, None, 9, None, 1, None, True, False)
    *told, left, enforced, exceeded = rate
    assert told == ["key", "rpm_limit", None, None, 1, 1, 1]
    assert 0 < left <= 60
    assert (enforced, exceeded) == (True, True)


def test_no_call_is_taken_while_draining(plane: RelayPlane) -> None:
    plane.draining = True
    response = _answer(plane, _key(), "/vllm/health", method="GET")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")


@pytest.mark.django_db(transaction=True)  # the relay gives its connection back before more is asked
def test_a_key_s_list_of_models_is_asked_about_what_the_default_serves(plane: RelayPlane) -> None:
    secret = _key(models=["tiny-chat"])
    for served, status in [(["other"], 403), (["tiny-chat"], 200)]:
        UpstreamRow.objects.update(served_models=served)
        plane.refresh()
        response = _answer(plane, secret, body={})
        assert response.status_code == status
        response.close()


def test_keyless_callers_are_anonymous(plane: RelayPlane, settings: Settings) -> None:
    settings.REQUIRE_KEYS = False
    response = _answer(plane, "anything", "/vllm/version", method="GET")
    b"".join(response)
    response.close()
    assert _entry(plane)["key_name"] == "anonymous"
