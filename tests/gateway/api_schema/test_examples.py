"""Every operation of the REST API is described, and every example of it works as it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular import validation
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from gateway.api_schema.catalogue import BY_ADDRESS, OPERATIONS
from gateway.api_schema.operation import Operation
from keys.base_view import ManagementView

MASTER = {"HTTP_AUTHORIZATION": f"Bearer {settings.MASTER_KEY}"}


def _routes(patterns: Any, prefix: str = "") -> Iterator[tuple[str, type[ManagementView]]]:
    for one in patterns:
        path = prefix + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from _routes(one.url_patterns, path)
        elif isinstance(one, URLPattern):
            view = getattr(one.callback, "view_class", None)
            if view is not None and issubclass(view, ManagementView):
                yield path.replace("<path:", "{").replace(">", "}"), view


def test_every_operation_is_described_and_no_other() -> None:
    there = {
        (method.upper(), path)
        for path, view in _routes(get_resolver().url_patterns)
        for method in ("get", "post", "put", "patch", "delete")
        if hasattr(view, method)
    }
    assert there == set(BY_ADDRESS)


def test_the_schema_is_valid_and_has_an_example_for_every_operation(client: Client) -> None:
    schema = client.get("/api/schema/?format=json").json()
    assert schema["openapi"].startswith("3.1")
    _openapi().validate(schema)
    operations = [operation for path in schema["paths"].values() for operation in path.values()]
    assert len(operations) == len(OPERATIONS)
    for operation in operations:
        assert operation["responses"]["200"]["content"]["application/json"]["examples"]
        if "requestBody" in operation:
            assert operation["requestBody"]["content"]["application/json"]["examples"]
    assert settings.MASTER_KEY not in json.dumps(schema)


def _openapi() -> Draft202012Validator:
    """As drf_spectacular.validation.validate_schema, which looks through all of OpenAPI's schema for each reference."""
    openapi = json.loads(Path(validation.__file__).with_name("openapi_3_1_schema.json").read_text())
    registry: Registry[Any] = Registry().with_resource(openapi["$id"], Resource.from_contents(openapi)).crawl()
    return Draft202012Validator({"$ref": openapi["$id"]}, registry=registry)


def _filled(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return {name: _filled(one, key) for name, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, key) for one in value]
    return key if value == "$key" else value


def _ask(operation: Operation, client: Client, key: str, headers: dict[str, str]) -> Any:
    path = "/" + operation.path.format(**_filled(operation.path_example, key))
    if operation.method == "GET":
        return client.get(path, _filled(operation.query_example, key), **headers)  # type: ignore[arg-type]
    body = json.dumps(_filled(operation.body_example, key))
    return client.post(path, body, content_type="application/json", **headers)  # type: ignore[arg-type]


def _is_shown_in(example: Any, real: Any, where: str) -> None:
    """Whatever the example shows is in the real answer, with a value of the same kind."""
    if isinstance(example, dict):
        assert isinstance(real, dict), where
        for name, value in example.items():
            assert name in real, f"{where}.{name}"
            _is_shown_in(value, real[name], f"{where}.{name}")
    elif isinstance(example, list):
        assert isinstance(real, list), where
        for one in real[:1] if example else []:
            _is_shown_in(example[0], one, f"{where}[0]")
    elif example is not None and real is not None:
        numbers = (int, float)
        same = isinstance(example, numbers) and isinstance(real, numbers)
        assert same or type(example) is type(real), where


@pytest.mark.django_db
def test_every_example_works_in_the_order_of_the_page(client: Client) -> None:
    key = ""
    for operation in OPERATIONS:
        headers = MASTER
        if operation.path in ("me", "key/health"):
            own = client.post("/key/generate", "{}", content_type="application/json", **MASTER)  # type: ignore[arg-type]
            headers = {"HTTP_AUTHORIZATION": f"Bearer {own.json()['key']}"}
        if operation.path == "key/service-account/generate":
            body = json.dumps({"team_id": "red"})
            client.post("/team/new", body, content_type="application/json", **MASTER)  # type: ignore[arg-type]
        response = _ask(operation, client, key, headers)
        assert response.status_code == 200, (operation.path, response.content)
        answer = response.json()
        if operation.path in ("key/generate", "key/{key}/regenerate", "key/regenerate"):
            key = answer["key"]
        if operation.path == "key/delete":
            body = json.dumps({"team_ids": ["red"]})
            client.post("/team/delete", body, content_type="application/json", **MASTER)  # type: ignore[arg-type]
        assert operation.answer is not None, (operation.path, answer)
        _is_shown_in(operation.answer, answer, operation.path)


def test_the_schema_and_the_page_are_for_everybody(client: Client) -> None:
    schema = client.get("/api/schema/?format=json")
    assert schema.json()["info"]["title"] == "vLLM Gateway"
    assert client.get("/api/schema/?format=json").content == schema.content
    page = client.get("/api/docs/")
    text = page.content.decode()
    assert page.status_code == 200
    for operation in OPERATIONS:
        assert f"/{operation.path}</code>" in text
    assert "<script" not in text
    assert "style=" not in text
    assert not re.search(r"(?:src|href)=.?(?:https?:)?//", text)
