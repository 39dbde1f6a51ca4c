"""LiteLLM's own clients of the key API: the library's, and its command `litellm-proxy keys`."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from keys import crypto
from tests.support.gateway import Gateway

pytestmark = pytest.mark.filterwarnings("ignore")

COMMAND = Path(sys.executable).with_name("litellm-proxy")


@pytest.fixture(scope="module")
def keys(gateway: Gateway) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from litellm.proxy.client import Client

    return Client(base_url=gateway.url, api_key=gateway.master_key).keys


@pytest.fixture
def made(keys: Any) -> Iterator[dict[str, Any]]:
    key = keys.generate(models=["org/tiny"], key_alias="litellm-client", duration="24h", spend=1.5, team_id="red")
    yield key
    with contextlib.suppress(requests.HTTPError):  # it is gone already
        keys.delete(keys=[key["token"]])


def test_generate(made: dict[str, Any], gateway: Gateway) -> None:
    assert made["token"] == crypto.digest(made["key"])
    assert (made["models"], made["spend"], made["team_id"]) == (["org/tiny"], 1.5, "red")
    assert gateway.call("GET", "/v1/models", key=made["key"]).status == 200


def test_list(keys: Any, made: dict[str, Any]) -> None:
    body = keys.list(key_alias="litellm-client", team_id="red", size=5, return_full_object=True, include_team_keys=True)
    assert [key["token"] for key in body["keys"]] == [made["token"]]
    assert keys.list(key_hash=made["token"])["keys"] == [made["token"]]
    assert keys.list(user_id="nobody") == {"keys": [], "total_count": 0, "current_page": 1, "total_pages": 0}


def test_info(keys: Any, made: dict[str, Any]) -> None:
    assert keys.info(made["token"])["info"]["key_alias"] == "litellm-client"
    with pytest.raises(requests.HTTPError) as raised:
        keys.info("0" * 64)
    assert raised.value.response.status_code == 404


def test_update(keys: Any, made: dict[str, Any]) -> None:
    body = keys.update(made["key"], models=["*"], aliases={"fast": "org/tiny"}, spend=0.5, user_id="ann", duration="1h")
    assert (body["key"], body["aliases"], body["spend"], body["user_id"]) == (
        made["key"],
        {"fast": "org/tiny"},
        0.5,
        "ann",
    )
    with pytest.raises(Exception, match="Key not found"):
        keys.update("sk-of-nobody-at-all", spend=1)


def test_delete(keys: Any, made: dict[str, Any]) -> None:
    assert keys.delete(key_aliases=["litellm-client"]) == {"deleted_keys": ["litellm-client"]}
    with pytest.raises(requests.HTTPError):
        keys.info(made["token"])


def test_a_wrong_key_is_recognised(gateway: Gateway) -> None:
    from litellm.proxy.client import Client
    from litellm.proxy.client.exceptions import UnauthorizedError

    with pytest.raises(UnauthorizedError):
        Client(base_url=gateway.url, api_key="sk-of-nobody-at-all").keys.list()


def environment(gateway: Gateway) -> dict[str, str]:
    return {
        "LITELLM_PROXY_URL": gateway.url,
        "LITELLM_PROXY_API_KEY": gateway.master_key,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "COLUMNS": "300",
    }


def command(gateway: Gateway, *words: str) -> str:
    """What `litellm-proxy keys …` prints; without the seconds that a new process needs to import LiteLLM."""
    from click.testing import CliRunner
    from litellm.proxy.client.cli import cli

    done = CliRunner().invoke(cli, ["keys", *words], env=environment(gateway))
    assert done.exit_code == 0, done.output
    return str(done.stdout)


def test_the_command(gateway: Gateway) -> None:
    words = ["keys", "generate", "--key-alias", "by-command", "--models", "org/tiny", "--duration", "7d"]
    with_settings = os.environ | environment(gateway)
    done = subprocess.run([COMMAND, *words], env=with_settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    printed = done.stdout
    made = json.loads(printed[printed.index("{") :])
    listed = command(gateway, "list", "--key-alias", "by-command")
    assert "Showing 1 keys out of 1" in listed
    assert made["token"] in listed
    command(gateway, "delete", "--key-aliases", "by-command")
    assert "Showing 0 keys" in command(gateway, "list", "--key-alias", "by-command", "--format", "table")


def test_the_command_takes_keys_over_from_another_gateway(gateway: Gateway, keys: Any) -> None:
    with Gateway() as other:
        other.make_key(key_alias="taken-over", models=["org/tiny"], spend=1, user_id="ann", aliases={"fast": "x"})
        printed = command(gateway, "import", "--source-base-url", other.url, "--source-api-key", other.master_key)
    assert "Successfully imported: 1" in printed
    (row,) = keys.list(key_alias="taken-over", return_full_object=True)["keys"]
    assert (row["models"], row["spend"], row["user_id"], row["aliases"]) == (["org/tiny"], 1.0, "ann", {"fast": "x"})
