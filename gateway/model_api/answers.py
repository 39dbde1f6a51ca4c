"""What the model API answers, in LiteLLM's shapes. Never a credential; without `is_manager` never an address."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from gateway.config.wanted import PRICES
from gateway.model_api.rows import id_of
from upstreams.models import Deployment
from upstreams.sources import CONFIG, DISCOVERED

PROVIDER = "hosted_vllm"
_LIMITS = ("rpm", "tpm")
# Of model_info, whose other keys are the admins' own.
_PUBLIC_INFO = ("mode", "base_model", "max_tokens", "max_input_tokens", "max_output_tokens")


def described(row: Deployment, *, is_manager: bool) -> dict[str, Any]:
    """One deployment, as /model/info has it."""
    return _whole(row) if is_manager else _public(row)


def _whole(row: Deployment) -> dict[str, Any]:
    upstream = row.upstream
    params = {
        "model": f"{PROVIDER}/{row.served_name}",
        "api_base": upstream.url,
        "weight": row.weight,
        **{name: getattr(row, name) for name in _LIMITS},
        **{name: _number(getattr(row, name)) for name in PRICES},
        "timeout": upstream.total_timeout,
        "stream_timeout": upstream.idle_timeout,
        "price_per_hour": _number(upstream.price_per_hour),
    }
    info = {
        **_lengths(row),
        **row.info,
        "id": id_of(row),
        "db_model": row.source not in {CONFIG, DISCOVERED},
        "source": row.source,
        "upstream": upstream.name,
        "hidden": row.hidden,
    }
    return {"model_name": row.alias, "litellm_params": _without_null(params), "model_info": info}


def _public(row: Deployment) -> dict[str, Any]:
    """Names and limits."""
    params = {"model": f"{PROVIDER}/{row.served_name}", **{name: getattr(row, name) for name in _LIMITS}}
    info = {
        **_lengths(row),
        **{name: row.info[name] for name in _PUBLIC_INFO if name in row.info},
        "id": id_of(row),
        "db_model": row.source not in {CONFIG, DISCOVERED},
    }
    return {"model_name": row.alias, "litellm_params": _without_null(params), "model_info": info}


def _lengths(row: Deployment) -> dict[str, Any]:
    """How much the model takes, as its server says."""
    for one in row.upstream.served_details:
        if isinstance(one, dict) and one.get("id") == row.served_name and isinstance(one.get("max_model_len"), int):
            return {"max_tokens": one["max_model_len"], "max_input_tokens": one["max_model_len"]}
    return {}


def groups(rows: Iterable[Deployment], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """One entry for each model name; `names` are further names for them. Limits are sums.

    A price is the highest of its kind; null where nobody has set one.
    """
    members: dict[str, list[Deployment]] = {}
    for row in rows:
        members.setdefault(row.alias, []).append(row)
    for name, stands_for in names.items():
        if name not in members and stands_for in members:
            members[name] = members[stands_for]
    return [_group(name, found) for name, found in sorted(members.items())]


def _group(name: str, rows: list[Deployment]) -> dict[str, Any]:
    info = {key: value for row in rows for key, value in _public(row)["model_info"].items()}
    return {
        "model_group": name,
        "providers": [PROVIDER],
        "mode": info.get("mode"),
        "max_input_tokens": info.get("max_input_tokens"),
        "max_output_tokens": info.get("max_output_tokens"),
        **{key: _sum(getattr(row, key) for row in rows) for key in _LIMITS},
        **{key: _number(_highest(getattr(row, key) for row in rows)) for key in PRICES},
    }


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _highest(prices: Iterable[Decimal | None]) -> Decimal | None:
    return max((price for price in prices if price is not None), default=None)


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _without_null(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
