"""The schema, for programs and for people. It holds no secret, so everybody may read it."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularAPIView

from gateway.api_schema.catalogue import OPERATIONS
from gateway.api_schema.operation import Operation

LONGEST_LINE = 70
"""Characters of a body that stands in one line."""


class _KeptGenerator(SchemaGenerator):
    """The schema is the same for everybody while the process lives, and to make it takes a fifth of a second."""

    def get_schema(self, *_: Any, **__: Any) -> dict[str, Any]:
        return _schema()


@cache
def _schema() -> dict[str, Any]:
    generator: Any = SchemaGenerator
    made: dict[str, Any] = generator().get_schema(request=None, public=True)
    return made


class SchemaView(SpectacularAPIView):
    """GET /api/schema/: OpenAPI 3.1, as YAML, or as JSON with `?format=json` or an Accept header."""

    authentication_classes = []
    permission_classes = []
    generator_class = _KeptGenerator


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """GET /api/docs/: every operation with its fields and an example, as a page without a script."""
    tags: dict[str, list[dict[str, Any]]] = {}
    base = request.build_absolute_uri("/").rstrip("/")
    for one in OPERATIONS:
        tags.setdefault(one.tag, []).append(_described(one, base))
    return render(request, "api/docs.html", {"tags": list(tags.items()), "base": base})


def _described(one: Operation, base: str) -> dict[str, Any]:
    return {
        "id": f"{one.method.lower()}-{one.operation_id}",
        "method": one.method,
        "path": f"/{one.path}",
        "summary": one.summary,
        "for_everyone": one.for_everyone,
        "fields": _fields(one),
        "curl": _curl(one, base),
        "answer": json.dumps(one.answer, indent=2),
    }


def _fields(one: Operation) -> list[dict[str, Any]]:
    kind = one.body or one.query
    if kind is None:
        return []
    fields = getattr(kind(), "fields", {})
    return [{"name": name, "required": field.required} for name, field in fields.items()]


def _curl(one: Operation, base: str) -> str:
    path = one.path.format(**dict.fromkeys(one.path_example, "sk-…")) if one.path_example else one.path
    query = "&".join(f"{name}={value}" for name, value in one.query_example.items()).replace("$key", "sk-…")
    lines = [f'curl "{base}/{path}{"?" + query if query else ""}" \\', '  -H "Authorization: Bearer $KEY"']
    if one.body_example is not None:
        short = json.dumps(one.body_example, ensure_ascii=False)
        long = json.dumps(one.body_example, ensure_ascii=False, indent=2)
        body = (short if len(short) <= LONGEST_LINE else long).replace("$key", "sk-…").replace("'", "'\\''")
        lines[-1] += " \\"
        lines += ["  -H 'Content-Type: application/json' \\", f"  -d '{body}'"]
    return "\n".join(lines)
