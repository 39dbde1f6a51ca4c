"""Entries of calls, as the relay builds them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from gateway.account.call_ids import CallIds
from gateway.account.entry import clean

NOON = datetime(2026, 5, 4, 12, 30, tzinfo=UTC).timestamp()


def call_ids_at(unix_seconds: float) -> Callable[[], str]:
    """A source of call ids of that moment."""
    return CallIds(clock=lambda: int(unix_seconds * 1e9)).new


def an_entry(at: float = NOON, **fields: Any) -> dict[str, Any]:
    """A completed call of 3 prompt and 5 completion tokens, received at `at`."""
    entry = {
        "call_id": call_ids_at(at)(),
        "request_id": "req-1",
        "received_at": at,
        "head_at": at + 0.1,
        "first_token_at": at + 0.2,
        "ended_at": at + 1.0,
        "key_id": 7,
        "key_name": "dev",
        "secret_id": None,
        "user_id": "ann",
        "end_user": "bob",
        "model": "qwen",
        "served_model": "Qwen/Qwen3",
        "upstream_id": 2,
        "upstream_name": "gpu-1",
        "method": "POST",
        "route": "/v1/chat/completions",
        "endpoint_class": "inference",
        "status": 200,
        "outcome": "completed",
        "streaming": True,
        "prompt_tokens": 3,
        "completion_tokens": 5,
        "cached_tokens": 1,
        "reasoning_tokens": None,
        "usage_source": "reported",
        "ttft_ms": 200.0,
        "inter_token_ms": 12.5,
        "bytes_in": 100,
        "bytes_out": 2_000,
        "client_address": "10.0.0.1",
        "user_agent": "OpenAI/Python",
        "error_type": None,
        "error_text": None,
        "tags": ["prod"],
        "cost": None,
        "attempts": 1,
        "queue_ms": None,
        "team_id": None,
        "spend": [],
        "shadowed": [],
        "decisions": None,
    }
    return clean({**entry, **fields})
