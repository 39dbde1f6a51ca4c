"""A call as LiteLLM's answers show a row of its log. What is not kept here is null or empty."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from gateway.account.endings import Ending, ending_of
from gateway.models import RequestLog
from keys.identity import MANAGEMENT, MASTER, Identity
from keys.models import Secret

_DETAILS = """
    outcome route method endpoint_class streaming upstream_name served_model usage_source ttft_ms inter_token_ms
    queue_ms attempts bytes_in bytes_out shadowed
    """.split()
_NOT_KEPT = "agent_id cache_key mcp_namespaced_tool_name organization_id session_id".split()


def described(rows: Sequence[RequestLog], viewer: Identity) -> list[dict[str, Any]]:
    """The rows in LiteLLM's shape; two queries for any number of them."""
    digests = digests_of((row.key_id for row in rows if row.key_id is not None), viewer)
    return [_described(row, digests.get(row.key_id or 0, "")) for row in rows]


def digests_of(key_ids: Iterable[int], viewer: Identity) -> dict[int, str]:
    """The digests by which the key API calls these keys; those of management keys are for the master key only."""
    secrets = Secret.objects.filter(key_id__in=set(key_ids))
    if viewer is not MASTER:
        secrets = secrets.exclude(key__key_type=MANAGEMENT)
    return dict(secrets.order_by("pk").values_list("key_id", "digest"))  # the newest comes last


def _described(row: RequestLog, digest: str) -> dict[str, Any]:
    status = "success" if ending_of(row.outcome, row.status) is Ending.ANSWERED else "failure"
    return {
        "request_id": row.request_id,
        "litellm_call_id": row.call_id.hex,
        "call_type": row.route,
        "api_key": digest,
        "spend": None if row.cost is None else float(row.cost),
        "total_tokens": row.total_tokens or 0,
        "prompt_tokens": row.prompt_tokens or 0,
        "completion_tokens": row.completion_tokens or 0,
        "startTime": _time(row.received_at),
        "endTime": _time(row.ended_at),
        "completionStartTime": _time(row.first_token_at),
        "request_duration_ms": None if row.duration_ms is None else round(row.duration_ms),
        "model": row.model or "",
        "model_group": row.model or "",
        "model_id": "",
        "custom_llm_provider": "hosted_vllm",
        "api_base": "",
        "user": row.user_id or "",
        "team_id": row.team_id,
        "end_user": row.end_user or "",
        "requester_ip_address": row.client_address,
        "request_tags": row.tags,
        "status": status,
        "cache_hit": "False",
        "metadata": _metadata(row, status),
        "messages": {},
        "response": {},
        "proxy_server_request": {},
        **dict.fromkeys(_NOT_KEPT),
    }


def _metadata(row: RequestLog, status: str) -> dict[str, Any]:
    error = {
        "error_code": "" if row.status is None else str(row.status),
        "error_class": row.error_type or "",
        "error_message": row.error_text or "",
    }
    return {
        "status": status,
        "user_api_key_alias": row.key_name,
        "user_api_key_user_id": row.user_id,
        "user_api_key_team_id": row.team_id,
        "user_agent": row.user_agent,
        "usage_object": _usage(row),
        "error_information": error if status == "failure" else None,
        "status_code": row.status,
        "gateway": {name: getattr(row, name) for name in _DETAILS},
    }


def _usage(row: RequestLog) -> dict[str, Any] | None:
    if row.total_tokens is None:
        return None
    return {
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "total_tokens": row.total_tokens,
        "prompt_tokens_details": {"cached_tokens": row.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": row.reasoning_tokens},
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
