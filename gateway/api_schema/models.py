"""The operations on models."""

from __future__ import annotations

from typing import Any

from gateway.api_schema.operation import Operation, get, post
from gateway.model_api import fields

TAG = "Models"
_ROW: dict[str, Any] = {
    "model_name": "qwen",
    "litellm_params": {"model": "hosted_vllm/qwen-7b", "api_base": "http://gpu-1:8000"},
    "model_info": {"id": "7"},
}


def _listing(path: str) -> Operation:
    summary = "List models with their servers"
    return get(path, TAG, summary, fields.InfoQuery, {}, {"data": [_ROW]}, for_everyone=True)


OPERATIONS: list[Operation] = [
    post(
        "model/new",
        TAG,
        "Add a model of a server",
        fields.NewModel,
        {
            "model_name": "qwen",
            "litellm_params": {"model": "hosted_vllm/qwen-7b", "api_base": "http://127.0.0.1:9/"},
            "model_info": {"id": "mine"},
        },
        {"model_id": "7", **_ROW},
    ),
    post(
        "model/update",
        TAG,
        "Change a model: what is left out stays, null clears",
        fields.UpdateModel,
        {"model_info": {"id": "mine"}, "litellm_params": {"rpm": 60}},
        {"model_id": "7", **_ROW},
    ),
    get("model/info", TAG, "List models with their servers", fields.InfoQuery, {}, {"data": [_ROW]}, for_everyone=True),
    get(
        "v1/model/info",
        TAG,
        "List models with their servers",
        fields.InfoQuery,
        {},
        {"data": [_ROW]},
        for_everyone=True,
    ),
    get(
        "v2/model/info",
        TAG,
        "List models, page by page",
        fields.PageQuery,
        {"page": 1, "size": 10},
        {"data": [_ROW], "total_count": 1, "current_page": 1, "total_pages": 1},
        for_everyone=True,
    ),
    get(
        "model_group/info",
        TAG,
        "List models by the names that clients ask for",
        fields.GroupQuery,
        {},
        {"data": [{"model_group": "qwen", "providers": ["hosted_vllm"]}]},
        for_everyone=True,
    ),
    post("model/delete", TAG, "Take a model away", fields.DeleteModel, {"id": "mine"}, {"message": "Deleted."}),
]
