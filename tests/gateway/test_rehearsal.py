"""What the policy check says is what the relay does: the same calls, rehearsed and really made."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.passthrough import PassThrough
from gateway.plane import RelayPlane
from gateway.rehearsal import looking
from gateway.rehearsal.rehearsal import NoCall, Wanted, face_of
from gateway.rehearsal.verdict import Verdict, judge
from keys.counters import MemoryCounters
from keys.models import EndUser, Owner, Team, VirtualKey
from keys.registry import DatabaseDirectory, KeyRegistry
from tests.support import vllm
from tests.support.upstream import Upstream
from upstreams.models import Deployment
from upstreams.models import Upstream as UpstreamRow
from upstreams.pool import UpstreamPool

pytestmark = pytest.mark.django_db(transaction=True)

CHAT = "/vllm/v1/chat/completions"
TIMES = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        vllm.serve(upstream)
        yield upstream


@pytest.fixture
def plane(upstream: Upstream, tmp_path: Any) -> Iterator[RelayPlane]:
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
        signed = signing.dumps([["key:1/rpm", 60.0, 3]], salt=looking.SALT, compress=True)
        request = rf.get(looking.PATH, headers={looking.HEADER: signed})
        used, left = json.loads(looking.limits_in_use(request).content)[0]
        assert (used, 59 < left <= 60) == (3, True)
        for value in ("", "nonsense", signing.dumps([], salt="other")):
            request = rf.get(looking.PATH, headers={looking.HEADER: value})
            assert looking.limits_in_use(request).status_code == 404
    finally:
        plane.counters = counters


def test_a_relay_that_is_away_makes_it_uncertain(plane: RelayPlane, settings: Any) -> None:
    from tests.support.upstream import unused_port

    settings.EMBEDDED, settings.HOST, settings.PORT = True, "127.0.0.1", unused_port()
    key, _ = VirtualKey.objects.issue(name="dev", rpm_limit=5)
    verdict = judge(TALK, DatabaseDirectory().of_key(key.pk)[-1])
    assert verdict.allowed
    assert verdict.steps[-1].word == "Not certain"
