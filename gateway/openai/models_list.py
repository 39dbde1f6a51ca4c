"""`GET /v1/models` and `/v1/models/{id}`: the models of all upstreams that this key may use. No upstream is asked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from django.http import HttpResponseBase

from gateway.charging import parties_of
from gateway.errors import ModelUnknown
from gateway.exchange import Exchange
from keys.identity import Identity, Party
from keys.patterns import matches
from keys.permissions import may_use_model
from upstreams.entries import ServedModel

OWNER = "vllm"
"""Who owns a model, as vLLM itself says."""


def list_models(exchange: Exchange) -> HttpResponseBase:
    """OpenAI's list, with what vLLM adds to it."""
    rows = rows_for(exchange.identity, exchange.plane.pool.models(), _parties(exchange))
    return _answer(exchange, {"object": "list", "data": list(rows.values())})


def retrieve_model(exchange: Exchange) -> HttpResponseBase:
    """One row of the list, which vLLM itself does not have. Raises ModelUnknown."""
    rows = rows_for(exchange.identity, exchange.plane.pool.models(), _parties(exchange))
    asked = exchange.model_in_path or ""
    if asked not in rows:
        raise ModelUnknown(asked, list(rows))
    return _answer(exchange, rows[asked])


def rows_for(
    identity: Identity, models: Iterable[ServedModel], parties: Iterable[Party] = ()
) -> Mapping[str, dict[str, Any]]:
    """The rows of the models that the key may use, and all the other parties too, by name; names of the key's own are
    models too."""
    lists = [party.models for party in parties if party.models]
    by_name = {one.alias: one for one in models}
    names = {**{name: name for name in by_name}, **identity.aliases}
    return {
        name: _row(name, by_name[meant])
        for name, meant in sorted(names.items())
        if meant in by_name
        and may_use_model(identity, name)
        and all(any(matches(pattern, meant) for pattern in one) for one in lists)
    }


def _parties(exchange: Exchange) -> list[Party]:
    found = parties_of(exchange.identity, exchange.call.end_user, exchange.plane.keys.parties)
    return [party for party in found if party.kind != "key"]


def _row(name: str, model: ServedModel) -> dict[str, Any]:
    row = {"id": name, "object": "model", "created": model.created, "owned_by": OWNER}
    known = {"root": model.root, "parent": model.parent, "max_model_len": model.max_model_len}
    return {**row, **{field: value for field, value in known.items() if value is not None}}


def _answer(exchange: Exchange, body: Mapping[str, Any]) -> HttpResponseBase:
    return exchange.answer_locally(200, json.dumps(body, ensure_ascii=False).encode())
