"""A client of the model API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from keys.models import VirtualKey

MASTER = "sk-master-for-the-tests-only-0123456789"


class API:
    """Calls with the master key, or another."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def post(self, path: str, body: Any, *, key: str | None = MASTER) -> Any:
        data = json.dumps(body).encode()
        return self._client.generic("POST", path, data, "application/json", headers=_with(key))

    def get(self, path: str, *, key: str | None = MASTER) -> Any:
        return self._client.get(path, headers=_with(key))

    def new(self, name: str = "m", **fields: Any) -> dict[str, Any]:
        """A new model; the answer's JSON."""
        answer = self.post("/model/new", body(name, **fields))
        assert answer.status_code == 200, answer.content
        made: dict[str, Any] = answer.json()
        return made

    def names(self, path: str = "/model/info", *, key: str = MASTER) -> list[str]:
        """The names that a key sees."""
        return [one.get("model_name") or one["model_group"] for one in self.get(path, key=key).json()["data"]]


def _with(key: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


def body(name: str = "m", *, info: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    """A body of /model/new."""
    whole = {"model": "hosted_vllm/s", "api_base": "http://server:8000/v1", **params}
    return {"model_name": name, "litellm_params": whole, **({"model_info": info} if info else {})}


@pytest.fixture
def api(client: Client) -> API:
    return API(client)


@pytest.fixture
def key() -> str:
    """A virtual key without limits."""
    return str(VirtualKey.objects.issue(name="ann")[1])
