"""A client of the routes of teams, users and customers, and where they are mounted."""

import json

from django.urls import include, path

from tests.keys.conftest import MASTER

urlpatterns = [path("key/", include("keys.urls")), path("", include("keys.groups_api.urls"))]


class Groups:
    """Calls `/team/…` and so on with the master key, or another."""

    def __init__(self, client):
        self._client = client

    def post(self, path, *, key=MASTER, headers=None, **body):
        sent = {**(headers or {}), "authorization": f"Bearer {key}"}
        return self._client.generic("POST", f"/{path}", json.dumps(body).encode(), "application/json", headers=sent)

    def get(self, path, *, key=MASTER, **query):
        return self._client.get(f"/{path}", query, headers={"authorization": f"Bearer {key}"})

    def made(self, path, **body):
        answer = self.post(path, **body)
        assert answer.status_code == 200, answer.content
        return answer.json()

    def seen(self, path, **query):
        answer = self.get(path, **query)
        assert answer.status_code == 200, answer.content
        return answer.json()


def error(answer):
    return answer.status_code, answer.json()["error"]["type"], answer.json()["error"]["param"]


def member(user_id=None, email=None, role="user"):
    return {"user_id": user_id, "user_email": email, "role": role}
