"""A client of the key API."""

import json

import pytest

from keys.models import VirtualKey

MASTER = "sk-master-for-the-tests-only-0123456789"


class API:
    """Calls `/key/…`, or another path from the root on, with the master key or another."""

    def __init__(self, client):
        self._client = client

    def post(self, path, body=b"", *, key=MASTER, content_type="application/json", **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._client.generic("POST", _target(path), data, content_type, headers=_with_key(headers, key))

    def get(self, path, *, key=MASTER, **headers):
        return self._client.get(_target(path), headers=_with_key(headers, key))

    def generate(self, **fields):
        answer = self.post("generate", fields)
        assert answer.status_code == 200, answer.content
        return answer.json()


def issued(name=None, **columns):
    """What an answer of `/key/generate` says of a key that is there from the beginning; made without a call."""
    key, plain = VirtualKey.objects.issue(name=name, **columns)
    return {"key": plain, "token": key.secret.digest, "key_name": key.masked}


def _target(path):
    return path if path.startswith("/") else f"/key/{path}"


def _with_key(headers, key):
    return {**({"authorization": f"Bearer {key}"} if key else {}), **headers}


@pytest.fixture
def api(client):
    return API(client)
