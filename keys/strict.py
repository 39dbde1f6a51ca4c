"""Serializers that refuse what they do not know, and the one step from a request's fields to validated ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from common.errors import InvalidRequest
from keys.errors import FieldMissing
from keys.parsers import refuse_unstorable, shown

# Values that say what is so anyway.
_DEFAULTS = {"spend": 0}


class StrictSerializer(serializers.Serializer[Any]):
    """Knows its fields: any other is refused, one of LiteLLM's without effect here unless it is empty.

    With the context `lenient`, fields that nobody knows are ignored, as LiteLLM does.
    """

    inert: frozenset[str] = frozenset()

    def to_internal_value(self, data: Any) -> Any:
        for name in data if isinstance(data, Mapping) else ():  # what is no object is refused below
            if name in self.fields:
                continue
            if name not in self.inert:
                if self.context.get("lenient"):
                    continue
                raise InvalidRequest(f"Unknown field: {shown(name)}.", param=shown(name))
            if not self._is_empty(name, data[name]):
                raise InvalidRequest(f"{name}: This field has no effect here; leave it out.", param=name)
        return super().to_internal_value(data)

    def _is_empty(self, name: str, value: object) -> bool:
        return value is None or value is False or value in ([], {}, "") or value == _DEFAULTS.get(name)


def validate(
    serializer_class: type[StrictSerializer], data: Mapping[str, Any], *, lenient: bool = False
) -> dict[str, Any]:
    """The validated fields. Raises InvalidRequest (FieldMissing for a missing one) with one sentence naming the field.

    FieldMissing (422) is also for a page or size out of range, as in LiteLLM. `lenient` ignores unknown fields.
    """
    refuse_unstorable(data)
    serializer = serializer_class(data=data, context={"lenient": lenient})
    if serializer.is_valid():
        return dict(serializer.validated_data)
    name, errors = next(iter(serializer.errors.items()))
    detail = _first(errors)
    is_422 = detail.code == "required" or name in {"page", "size", "page_size"}
    raise (FieldMissing if is_422 else InvalidRequest)(f"{name}: {detail}", param=str(name))


def _first(errors: Any) -> serializers.ErrorDetail:
    while not isinstance(errors, serializers.ErrorDetail):
        errors = next(iter(errors.values() if isinstance(errors, dict) else errors))
    return errors
