"""`GET /v1/models` and `/v1/models/{id}`: the models of all upstreams that this key may use. No upstream is asked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from django.http import HttpResponseBase

from gateway.errors import ModelUnknown
from gateway.exchange import Exchange
from keys.identity import Identity
from keys.permissions import may_use_model
from upstreams.entries import ServedModel

OWNER = "vllm"
"""Who owns a model, as vLLM itself says."""


def list_models(exchange: Exchange) -> HttpResponseBase:
    """OpenAI's list, with what vLLM adds to it."""
    rows = rows_for(exchange.identity, exchange.plane.pool.models())
    return _answer(exchange, {"object": "list", "data": list(rows.values())})


def retrieve_model(exchange: Exchange) -> HttpResponseBase:
    """One row of the list, which vLLM itself does not have. Raises ModelUnknown."""
    rows = rows_for(exchange.identity, exchange.plane.pool.models())
    asked = exchange.model_in_path or ""
    if asked not in rows:
        raise ModelUnknown(asked, list(rows))
    return _answer(exchange, rows[asked])


def rows_for(identity: Identity, models: Iterable[ServedModel]) -> Mapping[str, dict[str, Any]]:
    """The rows of the models that the key may use, by name; names of the key's own are models too."""
    by_name = {one.alias: one for one in models}
    names = {**{name: name for name in by_name}, **identity.aliases}
    return {
        name: _row(name, by_name[meant])
        for name, meant in sorted(names.items())
        if meant in by_name and may_use_model(identity, name)
    }


def _row(name: str, model: ServedModel) -> dict[str, Any]:
    row = {"id": name, "object": "model", "created": model.created, "owned_by": OWNER}
    known = {"root": model.root, "parent": model.parent, "max_model_len": model.max_model_len}
    return {**row, **{field: value for field, value in known.items() if value is not None}}


def _answer(exchange: Exchange, body: Mapping[str, Any]) -> HttpResponseBase:
    return exchange.answer_locally(200, json.dumps(body, ensure_ascii=False).encode())
