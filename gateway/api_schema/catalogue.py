"""All operations of the REST API."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.api_schema import groups, keys, models, usage
from gateway.api_schema.operation import Operation

OPERATIONS: list[Operation] = [
    *keys.OPERATIONS,
    *groups.OPERATIONS,
    *usage.OPERATIONS,
    *models.OPERATIONS,
]
BY_ADDRESS: Mapping[tuple[str, str], Operation] = {(one.method, one.path): one for one in OPERATIONS}
