"""What should be there, as values: what a file asks for, and what the database has, in the same words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any

PRICES = (
    "input_cost_per_token",
    "output_cost_per_token",
    "cache_read_input_token_cost",
    "cost_per_second",
    "cost_per_request",
)
"""The columns of a deployment that hold prices."""
PRICE_STEP = Decimal("1e-12")  # the columns' precision
HOURLY_STEP = Decimal("1e-6")


def price(number: float | Decimal | None) -> Decimal | None:
    """US dollars for a token, a second or a call, as the columns keep them."""
    return None if number is None else Decimal(str(number)).quantize(PRICE_STEP)


def hourly_price(number: float | Decimal | None) -> Decimal | None:
    """US dollars for an hour of a server, as the column keeps them."""
    return None if number is None else Decimal(str(number)).quantize(HOURLY_STEP)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSpec:
    """One model on one upstream."""

    alias: str
    served_name: str
    weight: int = 1
    hidden: bool = False
    input_cost_per_token: Decimal | None = None
    output_cost_per_token: Decimal | None = None
    cache_read_input_token_cost: Decimal | None = None
    cost_per_second: Decimal | None = None
    cost_per_request: Decimal | None = None
    rpm: int | None = None
    tpm: int | None = None
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSpec:
    """One server. `url` is normalised. None for `name`, `state` and `is_default`: whatever it is or becomes."""

    url: str
    credential: str = field(default="", repr=False)
    name: str | None = None
    state: str | None = None
    is_default: bool | None = None
    max_parallel: int | None = None
    connect_timeout: float | None = None
    first_byte_timeout: float | None = None
    idle_timeout: float | None = None
    total_timeout: float | None = None
    price_per_hour: Decimal | None = None
    deployments: tuple[DeploymentSpec, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasSpec:
    """How one alias is routed. "" for `strategy`: as all others."""

    name: str
    stands_for: str = ""
    strategy: str = ""
    prefix_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySpec:
    """A virtual key whose secret the environment holds. `limits` are columns by name."""

    name: str
    secret: str = field(repr=False)
    user_id: str | None = None
    models: tuple[str, ...] = ()
    endpoint_classes: tuple[str, ...] = ()
    team_id: str | None = None
    limits: Mapping[str, Any] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    allowed_upstreams: tuple[str, ...] = ()
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """All that a file asks for. `routing` has only the columns that it names."""

    upstreams: tuple[UpstreamSpec, ...] = ()
    aliases: tuple[AliasSpec, ...] = ()
    routing: Mapping[str, Any] = field(default_factory=dict)
    keys: tuple[KeySpec, ...] = ()


def columns(spec: DeploymentSpec | UpstreamSpec | AliasSpec | KeySpec) -> dict[str, Any]:
    """The spec's values by the names of the columns that keep them."""
    values = {one.name: getattr(spec, one.name) for one in fields(spec)}
    values.pop("deployments", None)
    limits = values.pop("limits", {})
    return {**values, **limits}
