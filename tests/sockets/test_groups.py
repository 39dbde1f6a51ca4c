"""Limits of teams, users and customers that were set over REST hold for calls over real sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support import vllm
from tests.support.gateway import Gateway
from tests.support.http_client import Response
from tests.support.patience import wait_for
from tests.support.upstream import Upstream

_SETUP = """
from upstreams.models import Deployment, Upstream
upstream = Upstream.objects.get(name="environment")
Deployment.objects.create(upstream=upstream, alias="priced", served_name="tiny-chat", cost_per_request="0.5")
"""


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Upstream() as upstream:
        vllm.serve(upstream)
        with Gateway(HOSTED_VLLM_API_BASE=upstream.url) as gateway:
            gateway.shell(_SETUP)
            wait_for(lambda: "priced" in str(gateway.call("GET", "/v1/models").json()))
            yield gateway


def manage(gateway: Gateway, path: str, **fields: Any) -> Any:
    response = gateway.post(f"/{path}", fields)
    assert response.status == 200, response.body
    return response.json()


def heard(gateway: Gateway) -> None:
    """Waits until the worker has heard of a change: a key that it does not know makes it read everything anew."""
    assert gateway.call("GET", "/vllm/version", key=gateway.make_key()).status == 200


def chat(gateway: Gateway, key: str, **fields: Any) -> Response:
    return gateway.post("/v1/chat/completions", {"model": "priced", "messages": [], **fields}, key=key)


def told(call: Callable[[], Response]) -> tuple[int, str]:
    response = call()
    return response.status, response.json().get("error", {}).get("type", "")


def test_a_blocked_customer_is_refused_until_they_are_unblocked(gateway: Gateway) -> None:
    key = gateway.make_key()
    assert chat(gateway, key, user="mallory").status == 200
    manage(gateway, "customer/block", user_ids=["mallory"])
    heard(gateway)
    assert told(lambda: chat(gateway, key, user="mallory")) == (403, "end_user_blocked")
    assert chat(gateway, key, user="ada").status == 200
    manage(gateway, "customer/unblock", user_ids=["mallory"])
    heard(gateway)
    assert chat(gateway, key, user="mallory").status == 200


def test_a_teams_budget_holds_for_all_its_keys_until_its_spend_is_set_anew(gateway: Gateway) -> None:
    manage(gateway, "team/new", team_id="research", max_budget=0.9, budget_duration="30d")
    one, other = gateway.make_key(team_id="research"), gateway.make_key(team_id="research")
    heard(gateway)
    assert [chat(gateway, key).status for key in (one, other, one)] == [200, 200, 422]

    def shown() -> dict[str, Any]:
        return dict(gateway.call("GET", "/team/info?team_id=research").json()["team_info"])

    assert wait_for(lambda: shown()["spend"] >= 1.0 and shown())["spend"] == 1.0
    manage(gateway, "team/update", team_id="research", spend=0)
    heard(gateway)
    assert shown()["spend"] == 0.0
    assert chat(gateway, other).status == 200


def test_a_users_rate_holds_for_all_their_keys_and_goes_when_it_is_cleared(gateway: Gateway) -> None:
    one = manage(gateway, "user/new", user_id="ada", rpm_limit=2)["key"]
    other = gateway.make_key(user_id="ada")
    heard(gateway)
    assert [chat(gateway, key).status for key in (one, other, one)] == [200, 200, 429]
    manage(gateway, "user/update", user_id="ada", rpm_limit=None)
    heard(gateway)
    assert chat(gateway, one).status == 200


def test_the_keys_of_a_deleted_team_are_refused_and_those_of_a_blocked_one_meanwhile(gateway: Gateway) -> None:
    manage(gateway, "team/new", team_id="interns")
    key = gateway.make_key(team_id="interns")
    assert chat(gateway, key).status == 200
    manage(gateway, "team/block", team_id="interns")
    heard(gateway)
    assert told(lambda: chat(gateway, key)) == (401, "auth_error")
    manage(gateway, "team/delete", team_ids=["interns"])
    heard(gateway)
    assert told(lambda: chat(gateway, key)) == (401, "token_not_found_in_db")
