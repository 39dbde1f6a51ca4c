"""Makes drf-spectacular describe our operations: fields out of the serializers, examples out of the tables.

REST framework loads this while its views are being defined, so the tables, which need them, are read later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import build_array_type, build_basic_type, build_object_type
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from gateway.api_schema.operation import Operation

_ERROR = build_object_type(
    {
        "error": build_object_type(
            {
                "message": build_basic_type(OpenApiTypes.STR),
                "type": build_basic_type(OpenApiTypes.STR),
                "param": {"type": ["string", "null"]},
                "code": build_basic_type(OpenApiTypes.STR),
            },
            required=["message", "type", "param", "code"],
        )
    },
    required=["error"],
)
_STATUSES = {
    400: "The request is not understood; the message names the field.",
    401: "No key, or not one that may do this.",
    403: "This key may not do this.",
    404: "There is no such thing.",
    409: "It exists already.",
    413: "The body is too large.",
    422: "A field that is needed is missing, or a number is out of range.",
    503: "The database does not answer now.",
}


class ManagementSchema(AutoSchema):
    """One view's part of the schema, as the table of operations has it."""

    @property
    def operation(self) -> Operation | None:
        """What the table says of this method and path."""
        from gateway.api_schema.catalogue import BY_ADDRESS

        return BY_ADDRESS.get((self.method, self.path.strip("/")))

    def is_excluded(self) -> bool:
        return self.operation is None

    def _told(self) -> Operation:
        operation = self.operation
        assert operation is not None  # noqa: S101 - what is excluded is asked nothing
        return operation

    def get_operation_id(self) -> str:
        return self._told().operation_id

    def get_summary(self) -> str:
        return self._told().summary

    def get_description(self) -> str:  # type: ignore[override]
        return "For every virtual key, about itself." if self._told().for_everyone else ""

    def get_tags(self) -> list[str]:
        return [self._told().tag]

    def get_auth(self) -> list[dict[str, Any]]:
        return [{"key": []}]

    def get_request_serializer(self) -> Any:
        return self._told().body

    def get_override_parameters(self) -> list[Any]:
        """The parameters of the query, each with its example."""
        operation = self._told()
        if operation.query is None:
            return []
        return [
            OpenApiParameter(
                name,
                type=self._type_of(field),
                required=field.required,
                enum=list(field.choices) if isinstance(field, serializers.ChoiceField) else None,
                examples=_examples(operation.query_example.get(name)),
            )
            for name, field in operation.query().fields.items()
        ]

    def _type_of(self, field: serializers.Field[Any, Any, Any, Any]) -> Any:
        if isinstance(field, serializers.ListField):
            return {"type": "array", "items": {"type": "string"}}
        if isinstance(field, serializers.IntegerField):
            return {"type": "integer", **_bounds(field)}
        return bool if isinstance(field, serializers.BooleanField) else str

    def get_response_serializers(self) -> Any:
        told = self._told()
        refusals = {status: OpenApiResponse(_ERROR, description=words) for status, words in _STATUSES.items()}
        return {200: OpenApiResponse(schema_of(told.answer), description="Done."), **refusals}

    def get_examples(self) -> list[OpenApiExample]:
        told = self._told()
        found = [OpenApiExample("Answer", value=told.answer, response_only=True, status_codes=["200"])]
        if told.body is not None:
            found.insert(0, OpenApiExample("Request", value=_shown(told.body_example), request_only=True))
        return found

    def map_parsers(self) -> list[str]:
        return ["application/json"]

    def _map_serializer_field(self, field: Any, direction: Any, bypass_extensions: bool = False) -> Any:  # noqa: FBT001, FBT002
        if isinstance(field, serializers.JSONField):
            return {}
        if _reads_text(field):
            return {"type": "string"}
        return super()._map_serializer_field(field, direction, bypass_extensions)  # type: ignore[no-untyped-call]


def schema_of(example: object) -> dict[str, Any]:
    """The type of an answer, out of an example of it. Answers may have more fields than the example shows."""
    if isinstance(example, Mapping):
        return build_object_type({name: schema_of(value) for name, value in example.items()}, additionalProperties={})
    if isinstance(example, list):
        return build_array_type(schema_of(example[0]) if example else {})
    if isinstance(example, bool):
        return {"type": ["boolean", "null"]}
    if isinstance(example, int | float):
        return {"type": ["number", "null"]}
    return {"type": ["string", "null"]} if isinstance(example, str) else {}


def _reads_text(field: object) -> bool:
    """Whether it is a field of ours, which reads a text: a duration, a moment, an id."""
    kinds = [kind for kind in type(field).__mro__ if not kind.__module__.startswith(("keys.", "gateway."))]
    return kinds[0] is serializers.Field


def _bounds(field: serializers.IntegerField) -> dict[str, Any]:
    bounds = {"minimum": field.min_value, "maximum": field.max_value}
    return {name: value for name, value in bounds.items() if value is not None}


def _examples(value: object) -> list[OpenApiExample]:
    return [] if value is None else [OpenApiExample("Example", value=_shown(value))]


def _shown(value: Any) -> Any:
    """An example as it is printed: `$key` stands for the secret of a key that exists."""
    if isinstance(value, dict):
        return {name: _shown(one) for name, one in value.items()}
    return "sk-vgw-…" if value == "$key" else value
