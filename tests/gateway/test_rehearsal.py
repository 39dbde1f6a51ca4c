"""What the policy check says is what the relay does: the same calls, rehearsed and really made."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import gevent
import pytest
from pytest_django import Settings

from gateway import limits_in_use
from gateway.account.relay_report import RelayReport
from gateway.open_call import OpenCall
from gateway.passthrough import PassThrough
from gateway.places import Places
from gateway.plane import RelayPlane
from gateway.rehearsal.rehearsal import NoCall, Wanted, face_of
from gateway.rehearsal.verdict import Verdict, judge
from keys.counters import Charge, MemoryCounters
from keys.models import EndUser, Owner, Team, VirtualKey
from keys.registry import DatabaseDirectory, KeyRegistry
from tests.support import vllm
from tests.support.upstream import Upstream
from upstreams.health import Mark
from upstreams.models import Deployment
from upstreams.models import Upstream as UpstreamRow
from upstreams.pool import UpstreamPool

pytestmark = [pytest.mark.sockets, pytest.mark.django_db]

CHAT = "/vllm/v1/chat/completions"
TIMES = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        vllm.serve(upstream)
        yield upstream


@pytest.fixture
def plane(upstream: Upstream, settings: Settings, tmp_path: Path) -> Iterator[RelayPlane]:
    settings.DATA_DIR = tmp_path  # its journal is nobody else's
    plane = RelayPlane(KeyRegistry(), UpstreamPool())
    plane.counters = MemoryCounters()
    row = UpstreamRow.objects.create(name="one", url=upstream.url, is_default=True, served_models=["tiny-chat"])
    Deployment.objects.create(upstream=row, alias="alias", served_name="tiny-chat", cost_per_request="0.5")
    UpstreamRow.objects.create(name="spare", url=upstream.url, state="disabled")
    Team.objects.create(team_id="crew", alias="Crew", models=["alias"])
    Team.objects.create(team_id="gone", alias="Gone", blocked=True)
    Owner.objects.create(user_id="ada", rpm_limit=1)
    EndUser.objects.create(end_user_id="mallory", blocked=True)
    yield plane
    plane.stop()
    plane.client.forget(upstream.url)


def _rehearsed(key: VirtualKey, wanted: Wanted, plane: RelayPlane) -> Verdict:
    return judge(wanted, DatabaseDirectory().of_key(key.pk)[-1], plane.counters)


def _really(secret: str, wanted: Wanted, plane: RelayPlane) -> Any:
    body = json.dumps({"model": wanted.model} if wanted.model else {}).encode() if wanted.method == "POST" else b""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": wanted.method,
        "RAW_URI": wanted.target,
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": "application/json",
        "REMOTE_ADDR": wanted.address,
        "HTTP_AUTHORIZATION": f"Bearer {secret}",
        "wsgi.input": io.BytesIO(body),
    }
    if wanted.end_user:
        environ["HTTP_X_END_USER_ID"] = wanted.end_user
    if wanted.upstream:
        environ["HTTP_X_GATEWAY_UPSTREAM"] = wanted.upstream
    plane.refresh()
    response = PassThrough(environ, plane, face=face_of(wanted.target)).answer()
    content = b"".join(response)  # type: ignore[call-overload]
    response.close()
    return response, content


BLOCKED = {"blocked": True}
EXPIRED = {"expires_at": datetime(2026, 1, 1, tzinfo=UTC)}
TALK = Wanted(CHAT, model="alias")

CASES: list[Any] = [
    ({}, TALK, ""),
    ({}, Wanted("/v1/chat/completions", model="alias"), ""),
    ({}, Wanted("/vllm/v1/models", method="GET"), ""),
    ({}, Wanted("/v1/models", method="GET"), ""),
    ({}, Wanted("/vllm/../x"), "Address of the call"),
    (BLOCKED, TALK, "Key"),
    (EXPIRED, TALK, "Key"),
    ({"team_id": "gone"}, TALK, "Team, owner and end user"),
    ({}, Wanted(CHAT, model="alias", end_user="mallory"), "Team, owner and end user"),
    ({}, Wanted("/v1/images/generations"), "Endpoint"),
    ({}, Wanted("/v1/models/nothing", method="GET"), "Upstreams"),
    ({"endpoint_classes": ["monitoring"]}, TALK, "Class of the endpoint"),
    ({"endpoint_classes": ["inference"]}, Wanted("/vllm/sleep"), "Class of the endpoint"),
    ({"key_type": "management"}, TALK, "Class of the endpoint"),
    ({"allowed_ips": ["10.0.0.0/8"]}, TALK, "Caller's address"),
    ({"allowed_ips": ["10.0.0.0/8"]}, Wanted(CHAT, model="alias", address="10.1.2.3"), ""),
    ({"allowed_routes": ["/vllm/v1/embeddings"]}, TALK, "Routes of the key"),
    ({"allowed_routes": ["vllm_routes"]}, TALK, ""),
    ({"models": ["other"]}, TALK, "Model"),
    ({"models": ["other"]}, Wanted(CHAT), "Model"),
    ({"models": ["tiny-chat"]}, Wanted(CHAT), ""),
    ({"models": ["fast"], "aliases": {"fast": "alias"}}, Wanted(CHAT, model="fast"), ""),
    ({}, Wanted("/v1/chat/completions", model="nobody-has-this"), "Upstreams"),
    ({}, Wanted(CHAT, model="alias", upstream="one"), "Named upstream"),
    ({"allowed_upstreams": ["*"]}, Wanted(CHAT, model="alias", upstream="one"), ""),
    ({"allowed_upstreams": ["*"]}, Wanted(CHAT, model="alias", upstream="no-such"), "Named upstream"),
    ({"allowed_upstreams": ["*"]}, Wanted(CHAT, model="alias", upstream="spare"), "Upstreams"),
    ({}, Wanted("/upstreams/one/v1/chat/completions", model="tiny-chat"), "Named upstream"),
    ({"allowed_upstreams": ["*"]}, Wanted("/upstreams/one/v1/chat/completions", model="tiny-chat"), ""),
    ({"allowed_upstreams": ["*"]}, Wanted("/upstreams/no%20such/v1/chat/completions", model="x"), "Named upstream"),
    ({"team_id": "crew"}, Wanted(CHAT, model="tiny-chat"), "Models of team, owner and end user"),
    ({"team_id": "crew"}, TALK, ""),
    ({"rpm_limit": 0}, TALK, "Limits"),
    ({"max_parallel_requests": 0}, TALK, "Limits"),
    ({"max_budget": "0"}, TALK, "Limits"),
    ({"rpm_limit": 1, "shadow_limits": ["rpm_limit"]}, TALK, ""),
]


@pytest.mark.parametrize(("fields", "wanted", "rule"), CASES)
def test_the_page_says_what_the_relay_does(plane: RelayPlane, fields: Any, wanted: Wanted, rule: str) -> None:
    key, secret = VirtualKey.objects.issue(name="dev", **fields)
    verdict = _rehearsed(key, wanted, plane)
    response, content = _really(secret, wanted, plane)
    assert (verdict.refused_by, verdict.allowed) == (rule, not rule)
    if rule:
        assert verdict.status == response.status_code
        assert TIMES.sub("", verdict.body) == TIMES.sub("", json.dumps(json.loads(content), indent=2))
    else:
        assert response.status_code == 200, content


@pytest.mark.django_db(transaction=True)  # the relay gives its connection back before more is asked
def test_a_limit_that_is_used_up_refuses_on_both_sides(plane: RelayPlane) -> None:
    key, secret = VirtualKey.objects.issue(name="dev", user_id="ada")
    assert _rehearsed(key, TALK, plane).allowed
    assert _really(secret, TALK, plane)[0].status_code == 200
    verdict = _rehearsed(key, TALK, plane)
    response, _ = _really(secret, TALK, plane)
    assert (verdict.status, verdict.refused_by, response.status_code) == (429, "Limits", 429)
    assert dict(verdict.headers)["Retry-After"] == response.headers["Retry-After"]


def test_asking_takes_nothing(plane: RelayPlane) -> None:
    key, secret = VirtualKey.objects.issue(
        name="dev", rpm_limit=1, tpm_limit=1000, max_parallel_requests=1, max_budget="1"
    )
    for _ in range(3):
        assert _rehearsed(key, TALK, plane).allowed
    assert _really(secret, TALK, plane)[0].status_code == 200


def test_the_steps_after_a_refusal_are_not_reached(plane: RelayPlane) -> None:
    key, _ = VirtualKey.objects.issue(name="dev", models=["other"])
    steps = {step.name: step.word for step in _rehearsed(key, TALK, plane).steps}
    assert (steps["Key"], steps["Model"], steps["Limits"]) == ("Passed", "Refused", "Not reached")


def test_a_session_is_asked_about_by_its_address(plane: RelayPlane) -> None:
    key, _ = VirtualKey.objects.issue(name="dev", models=["other"])
    verdict = _rehearsed(key, Wanted("/v1/realtime", method="GET", model="alias"), plane)
    assert verdict.refused_by == "Model"


def test_a_rotated_secret_that_is_over_is_refused(plane: RelayPlane) -> None:
    key, secret = VirtualKey.objects.issue(name="dev")
    key.secrets.update(expires_at=datetime.now(UTC) - timedelta(hours=1))
    verdict = _rehearsed(key, TALK, plane)
    assert verdict.refused_by == "Key"
    assert _really(secret, TALK, plane)[0].status_code == 401


@pytest.mark.parametrize("target", ["/admin/", "/key/list", "/nowhere", "/readyz", ""])
def test_other_addresses_are_no_calls(target: str) -> None:
    with pytest.raises(NoCall):
        face_of(target)


# --- With SQLite the relay is asked --------------------------------------------------------------------------------


def test_the_relay_tells_what_is_in_use_only_when_it_is_signed(rf: Any, settings: Any) -> None:
    from django.core import signing

    from gateway.this_relay import plane

    counters, plane.counters = plane.counters, MemoryCounters()
    try:
        signed = signing.dumps([["key:1/rpm", 60.0, 3]], salt=limits_in_use.SALT, compress=True)
        request = rf.get(limits_in_use.PATH, headers={limits_in_use.HEADER: signed})
        used, left = json.loads(limits_in_use.tell(request).content)[0]
        assert (used, left) == (3, pytest.approx(60, abs=1))
        for value in ("", "nonsense", signing.dumps([], salt="other")):
            request = rf.get(limits_in_use.PATH, headers={limits_in_use.HEADER: value})
            assert limits_in_use.tell(request).status_code == 404
    finally:
        plane.counters = counters


def test_a_relay_that_is_away_makes_it_uncertain(plane: RelayPlane, settings: Any) -> None:
    from tests.support.ports import unused_port

    settings.EMBEDDED, settings.HOST, settings.PORT = True, "127.0.0.1", unused_port()
    key, _ = VirtualKey.objects.issue(name="dev", rpm_limit=5)
    verdict = judge(TALK, DatabaseDirectory().of_key(key.pk)[-1])
    assert verdict.allowed
    assert next(step for step in verdict.steps if step.name == "Limits").word == "Not certain"


# --- What awaits a call that no rule refuses


def _report(plane: RelayPlane, **facts: Any) -> None:
    """What a relay worker with this plane says of itself."""
    said = {**plane.reporter.facts(), **facts}
    RelayReport.objects.replace(node="here", worker=f"{RelayReport.objects.count()}", keys_version=1, facts=said)


def _seen(**columns: Any) -> None:
    """What the probes saw of the upstream."""
    UpstreamRow.objects.filter(name="one").update_quietly(**columns)


def _forget(call: OpenCall) -> None:
    """Nobody has to know how it ended."""


def _outlook(plane: RelayPlane, wanted: Wanted = TALK, **fields: Any) -> tuple[str, list[str]]:
    """The doubt, and what is told of the upstreams."""
    verdict = _rehearsed(VirtualKey.objects.issue(**fields)[0], wanted, plane)
    assert verdict.allowed
    return verdict.doubt, [line for step in verdict.steps for line in step.lines]


def test_an_upstream_that_is_well_leaves_no_doubt(plane: RelayPlane) -> None:
    _report(plane)
    _seen(health="healthy")
    assert _outlook(plane) == ("", ["one is healthy."])


@pytest.mark.parametrize("model", ["alias", ""])
@pytest.mark.parametrize(
    ("seen", "words", "line"),
    [
        (
            {"health": "unhealthy", "health_text": "Refused."},
            "one is unhealthy",
            "one is unhealthy: Refused.",
        ),
        ({"health": "healthy", "posture": {"asleep": True}}, "one sleeps", "one sleeps: calls wait there"),
    ],
)
def test_nobody_could_answer_while_probes_find_it_ill(
    plane: RelayPlane, model: str, seen: Any, words: str, line: str
) -> None:
    _report(plane)
    _seen(**seen)
    doubt, lines = _outlook(plane, Wanted(CHAT, model=model))
    assert doubt == f"nobody could answer now: {words}"
    assert lines[-1].startswith(line)


def test_nobody_could_answer_while_all_workers_pass_it_over(plane: RelayPlane) -> None:
    _seen(health="healthy")
    row = UpstreamRow.objects.get(name="one")
    plane.refresh()
    plane.pool.mark(row.pk, Mark.REFUSED)
    _report(plane)
    doubt, lines = _outlook(plane)
    assert doubt == "nobody could answer now: one cools down for 5 s"
    assert lines == ["one cools down for 5 s: calls there have failed."]
    _report(plane, cooling={})
    assert _outlook(plane)[0] == ""


def test_one_of_two_is_enough(plane: RelayPlane) -> None:
    _report(plane)
    _seen(health="unhealthy", health_text="It is refused.")
    other = UpstreamRow.objects.create(name="two", url="http://two")
    other.deployments.create(alias="alias")
    UpstreamRow.objects.filter(pk=other.pk).update_quietly(health="healthy")
    doubt, lines = _outlook(plane)
    assert (doubt, lines) == ("", ["two is healthy.", "one is unhealthy: It is refused."])


def test_what_drains_is_told_with_the_refusal(plane: RelayPlane) -> None:
    _report(plane)
    UpstreamRow.objects.filter(name="one").update(state="draining")
    verdict = _rehearsed(VirtualKey.objects.issue(name="dev")[0], TALK, plane)
    (refused,) = [step for step in verdict.steps if step.kind == "bad"]
    assert (refused.name, refused.lines) == ("Upstreams", ("one drains and takes no new calls.",))


def test_without_a_relay_nobody_passes_it_on(plane: RelayPlane) -> None:
    _seen(health="healthy")
    assert _outlook(plane)[0] == "no relay worker says that it is there and takes calls"
    _report(plane, draining=True)
    assert _outlook(plane)[0] == "no relay worker says that it is there and takes calls"


def test_a_place_is_free_or_waited_for_as_at_the_relay(plane: RelayPlane) -> None:
    _report(plane)
    _seen(health="healthy")
    UpstreamRow.objects.filter(name="one").update(max_parallel=1)
    plane.refresh()
    assert _outlook(plane)[0] == ""
    places, call = (
        Places(plane.counters),
        OpenCall(call_id="c", request_id="r", received_at=0, method="POST", on_end=_forget),
    )
    taken = places.choose(call, plane.pool.candidates("alias"))
    assert _outlook(plane)[0] == "it would wait in the queue"
    RelayReport.objects.all().delete()
    _report(plane, queue_full=True)
    assert _outlook(plane)[0] == "all places are taken and no more calls may wait"
    places.give_back(call, taken.upstream)
    gevent.sleep(0)  # with counters that processes share this is done in the background
    assert _outlook(plane)[0] == ""


def test_the_place_of_a_key_is_a_limit(plane: RelayPlane) -> None:
    _report(plane)
    key, _ = VirtualKey.objects.issue(name="dev", max_parallel_requests=1)
    plane.counters.take("open", [Charge(f"key:{key.pk}/parallel", 1, 1)])
    assert _rehearsed(key, TALK, plane).refused_by == "Limits"


def test_an_answer_of_the_gateway_needs_no_upstream(plane: RelayPlane) -> None:
    _seen(health="unhealthy")
    assert _outlook(plane, Wanted("/v1/models", method="GET")) == ("", [])
