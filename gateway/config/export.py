"""The state of the database as the text of a file, which `apply` takes without a change. Pure; no secret in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import yaml

from gateway.config.matching import Stored, StoredUpstream, is_plain
from gateway.config.plan import State, StoredKey
from gateway.config.sections import REFERENCE
from gateway.config.wanted import AliasSpec, DeploymentSpec, columns
from gateway.config.wording import is_empty
from keys.identity import DEFAULT_ENDPOINT_CLASSES


def as_text(state: State) -> str:
    """The file."""
    variables = _Variables()
    own = {
        "upstreams": [_upstream(row, variables) for row in state.upstreams],
        "deployments": [
            {"upstream": upstream.spec.name, **_deployment(row)}
            for upstream in state.upstreams
            for row in upstream.deployments
            if not is_plain(row)
        ],
        "aliases": [_without_empty(_alias(row)) for row in state.aliases],
        "routing": _without_empty(dict(state.routing)),
        "keys": [_key(row, variables) for row in state.keys if row.is_of_the_file],
    }
    body = yaml.dump(
        {"gateway": _without_empty(own)}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110
    )  # fmt: skip
    return "\n".join(f"# {line}".rstrip() for line in _head(variables)) + "\n" + body


def _head(variables: _Variables) -> Iterable[str]:
    yield "Written by manage.py export, for manage.py apply. No credential and no secret is in it:"
    yield "what would be one is os.environ/NAME, and apply takes it from that environment variable."
    if variables.names:
        yield f"Set before apply: {', '.join(variables.names)}"


class _Variables:
    """Names of environment variables in the place of what must not be written."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def reference(self, what: str, name: str) -> str:
        stem = f"{what}_OF_{re.sub('[^A-Z0-9]+', '_', name.upper()).strip('_') or 'NAMELESS'}"
        variable, number = stem, 1
        while variable in self.names:
            number += 1
            variable = f"{stem}_{number}"
        self.names.append(variable)
        return REFERENCE + variable


def _upstream(row: StoredUpstream, variables: _Variables) -> dict[str, Any]:
    spec = row.spec
    values = {"name": spec.name, "url": spec.url, **columns(spec)}
    values["default"] = values.pop("is_default")
    values["credential"] = variables.reference("CREDENTIAL", str(spec.name)) if spec.credential else None
    return _without_empty(values)


def _deployment(row: Stored[DeploymentSpec]) -> dict[str, Any]:
    values = columns(row.spec)
    if values["served_name"] == values["alias"]:
        del values["served_name"]
    if values["weight"] == 1:
        del values["weight"]
    values["info"] = dict(values["info"])
    return _without_empty(values)


def _alias(row: Stored[AliasSpec]) -> dict[str, Any]:
    return columns(row.spec)


def _key(row: StoredKey, variables: _Variables) -> dict[str, Any]:
    values = columns(row.spec)
    values["secret"] = variables.reference("SECRET", row.spec.name)
    if row.spec.endpoint_classes == DEFAULT_ENDPOINT_CLASSES:
        del values["endpoint_classes"]
    if not values["priority"]:
        del values["priority"]
    return _without_empty({name: list(value) if isinstance(value, tuple) else value for name, value in values.items()})


def _without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if not is_empty(value)}


class _Dumper(yaml.SafeDumper):
    """Prices as numbers that every YAML reader takes for numbers, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _price(dumper: yaml.SafeDumper, value: Decimal) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:float", f"{value:.12f}".rstrip("0").ljust(3, "0"))


_Dumper.add_representer(Decimal, _price)
