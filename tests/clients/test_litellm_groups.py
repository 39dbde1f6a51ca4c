"""LiteLLM's clients for teams and users manage them here; its command `litellm-proxy users` is made of the same."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.gateway import Gateway

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def client(gateway: Gateway) -> Any:
    from litellm.proxy.client import Client

    return Client(base_url=gateway.url, api_key=gateway.master_key)


def test_users(gateway: Gateway) -> None:
    from litellm.proxy.client.exceptions import NotFoundError
    from litellm.proxy.client.users import UsersManagementClient

    users = UsersManagementClient(gateway.url, gateway.master_key)
    made = users.create_user({"user_id": "ada", "user_email": "ada@example.org", "user_role": "internal_user"})
    assert made["key"].startswith("sk-")
    assert [user["user_id"] for user in users.list_users({"user_email": "ada@"})] == ["ada"]
    assert len(users.get_user("ada")["keys"]) == 1
    assert users.get_user_v2("ada")["user_email"] == "ada@example.org"
    assert users.delete_user(["ada"]) == 1
    with pytest.raises(NotFoundError):
        users.get_user("ada")


def test_teams(client: Any, gateway: Gateway) -> None:
    for team_id in ("litellm-a", "litellm-b"):
        response = gateway.post("/team/new", {"team_id": team_id, "team_alias": team_id.title(), "members": ["bob"]})
        assert response.status == 200
    assert [team["team_id"] for team in client.teams.list(user_id="bob")] == ["litellm-a", "litellm-b"]
    page = client.teams.list_v2(user_id="bob", sort_by="team_alias", sort_order="desc", page_size=1)
    assert ([team["team_id"] for team in page["teams"]], page["total_pages"]) == (["litellm-b"], 2)
