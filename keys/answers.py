"""What the key API answers: keys in LiteLLM's shapes. No answer but that of an issue holds a secret."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from common import money
from keys.limit_fields import limits_answer
from keys.models import VirtualKey
from keys.spending import Spending, spending, spendings

_NULL_FIELDS = """
    agent_id budget_id enforced_params guardrails object_permission organization_id project_id tpd_limit updated_by
    """.split()


def described(key: VirtualKey, spent: Spending) -> dict[str, Any]:
    """A key as LiteLLM's answers show it, without secret and digest; what is not kept here is null or empty."""
    return {
        "key_name": key.masked,
        "key_alias": key.name,
        "user_id": key.user_id,
        "team_id": key.team_id,
        **limits_answer(key, spent),
        "aliases": key.aliases,
        "endpoint_classes": key.granted_classes,
        "allowed_upstreams": key.allowed_upstreams,
        "allowed_routes": key.allowed_routes,
        "allowed_ips": key.allowed_ips,
        "priority": key.priority,
        "key_type": key.key_type,
        "expires": _time(key.expires_at),
        "created_at": _time(key.created_at),
        "created_by": key.created_by or None,
        "updated_at": _time(key.updated_at),
        **dict.fromkeys(_NULL_FIELDS),
        "config": {},
        "permissions": {},
        "allowed_cache_controls": [],
    }


def with_token(key: VirtualKey, spent: Spending | None = None) -> dict[str, Any]:
    """The same with `token` and `token_id`: the digest of the newest secret."""
    token = token_of(key)
    return {"token": token, "token_id": token, **described(key, spent or spending(key))}


def token_of(key: VirtualKey) -> str | None:
    """The digest of the key's newest secret."""
    return key.secret.digest if key.secret else None


def info(key: VirtualKey, spent: Spending | None = None) -> dict[str, Any]:
    """The `info` of GET /key/info, which never holds the token."""
    spent = spent or spending(key)
    shown = described(key, spent)
    return {
        **shown,
        "litellm_budget_table": shown["litellm_budget_table"] or {},
        "total_spend": None if spent.total is None else float(money.dollars(spent.total)),
        "last_active": _time(key.last_used_at),
        "auto_rotate": False,
        "status": _STATUS.get(key.state, key.state),
    }


_STATUS = {"blocked": "revoked"}


def tokens(keys: Iterable[VirtualKey]) -> list[str | None]:
    """The digests of several keys, as /key/list shows them."""
    return [token_of(key) for key in keys]


def infos(keys: Iterable[VirtualKey]) -> list[dict[str, Any]]:
    """The `info` of several keys; one query for what they have spent."""
    rows = list(keys)
    spent = spendings(rows)
    return [info(key, spent[key.pk]) for key in rows]


def full_objects(keys: Iterable[VirtualKey]) -> list[dict[str, Any]]:
    """Several keys as /key/list shows them with `return_full_object`; one query for what they have spent."""
    rows = list(keys)
    spent = spendings(rows)
    return [{**with_token(key, spent[key.pk]), "last_active": _time(key.last_used_at)} for key in rows]


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
