"""What is said of one operation of the REST API. Knows no view: who runs an operation is the URLs' business."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rest_framework import serializers

Json = dict[str, Any]
Serializer = type[serializers.Serializer[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A method of a path. `body` and `query` say what may be sent; the examples show it, and a short answer to it.

    `path` is as in OpenAPI, without its first slash; `path_example` fills its parameters.
    """

    method: str
    path: str
    tag: str
    summary: str
    body: Serializer | None = None
    query: Serializer | None = None
    body_example: Json | None = None
    query_example: Json = field(default_factory=dict)
    path_example: Json = field(default_factory=dict)
    answer: Any = None
    for_everyone: bool = False
    """Whether any virtual key may use it, for itself."""

    @property
    def operation_id(self) -> str:
        """A name for generated clients: `key_generate`, `v2_key_info` …"""
        words = self.path.replace("{", "").replace("}", "").replace("-", "_").strip("/").split("/")
        return "_".join(words)


def post(path: str, tag: str, summary: str, body: Serializer, example: Json, answer: Any, **more: Any) -> Operation:
    """A POST with a JSON body."""
    return Operation(
        method="POST", path=path, tag=tag, summary=summary, body=body, body_example=example, answer=answer, **more
    )


def get(
    path: str, tag: str, summary: str, query: Serializer | None, example: Json, answer: Any, **more: Any
) -> Operation:
    """A GET with a query."""
    return Operation(
        method="GET", path=path, tag=tag, summary=summary, query=query, query_example=example, answer=answer, **more
    )
