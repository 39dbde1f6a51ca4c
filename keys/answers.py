"""What the key API answers: keys in LiteLLM's shapes. No answer but that of an issue holds a secret."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from keys.models import VirtualKey

_NULL_FIELDS = """
    agent_id budget_duration budget_id budget_limits budget_reset_at enforced_params guardrails litellm_budget_table
    max_budget model_rpm_limit model_tpm_limit object_permission organization_id project_id rpm_limit soft_budget
    tags team_id tpd_limit tpm_limit
    """.split()
_EMPTY_OBJECTS = ("config", "model_max_budget", "permissions")


def described(key: VirtualKey) -> dict[str, Any]:
    """A key as LiteLLM's answers show it, without secret and digest; what is not kept here is null or empty."""
    return {
        "key_name": key.masked,
        "key_alias": key.name,
        "user_id": key.user_id,
        "models": key.models,
        "metadata": key.metadata,
        "aliases": key.aliases,
        "endpoint_classes": key.granted_classes,
        "allowed_upstreams": key.allowed_upstreams,
        "priority": key.priority,
        "key_type": key.key_type,
        "max_parallel_requests": key.max_parallel_requests,
        "blocked": key.blocked,
        "expires": _time(key.expires_at),
        "created_at": _time(key.created_at),
        "created_by": key.created_by or None,
        "updated_at": _time(key.updated_at),
        "updated_by": None,
        "spend": 0.0,
        **dict.fromkeys(_NULL_FIELDS),
        **{name: {} for name in _EMPTY_OBJECTS},
        "allowed_routes": [],
        "allowed_cache_controls": [],
    }


def with_token(key: VirtualKey) -> dict[str, Any]:
    """The same with `token` and `token_id`: the digest of the newest secret."""
    token = token_of(key)
    return {"token": token, "token_id": token, **described(key)}


def token_of(key: VirtualKey) -> str | None:
    """The digest of the key's newest secret."""
    return key.secret.digest if key.secret else None


def info(key: VirtualKey) -> dict[str, Any]:
    """The `info` of GET /key/info, which never holds the token."""
    return {
        **described(key),
        "total_spend": 0.0,
        "last_active": _time(key.last_used_at),
        "auto_rotate": False,
        "status": {"blocked": "revoked"}.get(key.state, key.state),
    }


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
