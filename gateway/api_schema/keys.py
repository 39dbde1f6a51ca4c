"""The operations on virtual keys."""

from __future__ import annotations

from gateway.api_schema.operation import Operation, get, post
from keys import queries, serializers
from keys.strict import StrictSerializer

TAG = "Virtual keys"
_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_KEY = {
    "token": _HASH,
    "token_id": _HASH,
    "key_name": "sk-...I012",
    "key_alias": "laptop",
    "user_id": "ann@example.com",
    "team_id": "red",
    "models": ["qwen-*"],
    "spend": 0.0,
    "max_budget": 10.0,
    "budget_duration": "30d",
    "budget_reset_at": "2026-12-01T00:00:00+00:00",
    "rpm_limit": 60,
    "tpm_limit": 100_000,
    "expires": "2027-02-19T10:00:00+00:00",
    "blocked": False,
}
_SECRET = "sk-vgw-3456789abcdefghijkABCDEFGHIJKLMNI012"  # noqa: S105 - nobody's


class Nothing(StrictSerializer):
    """A body without fields."""


OPERATIONS: list[Operation] = [
    post(
        "key/generate",
        TAG,
        "Issue a key; its secret is shown this once",
        serializers.GenerateKey,
        {
            "key_alias": "laptop",
            "user_id": "ann@example.com",
            "team_id": "red",
            "models": ["qwen-*"],
            "duration": "90d",
            "max_budget": 10,
            "budget_duration": "30d",
            "rpm_limit": 60,
            "tpm_limit": 100_000,
        },
        {"key": _SECRET, **_KEY},
    ),
    post(
        "key/service-account/generate",
        TAG,
        "Issue a key that belongs to a team and to nobody in it",
        serializers.ServiceAccountKey,
        {"team_id": "red", "key_alias": "nightly"},
        {"key": _SECRET, "key_alias": "nightly", "team_id": "red", "user_id": None},
    ),
    get(
        "key/info",
        TAG,
        "Read one key; without `key`, the caller's own",
        queries.InfoQuery,
        {"key": "$key"},
        {"key": _SECRET, "info": {"key_alias": "laptop", "spend": 0.0, "max_budget": 10.0, "status": "active"}},
        for_everyone=True,
    ),
    post(
        "v2/key/info",
        TAG,
        "Read several keys",
        serializers.KeysReference,
        {"key_aliases": ["laptop"]},
        {"key": ["laptop"], "info": [{"key_alias": "laptop", "spend": 0.0}]},
    ),
    get(
        "key/list",
        TAG,
        "List keys, page by page",
        queries.ListQuery,
        {"size": 10, "return_full_object": "true"},
        {"keys": [_KEY], "total_count": 1, "current_page": 1, "total_pages": 1},
    ),
    get(
        "key/aliases",
        TAG,
        "List the names of keys",
        queries.AliasQuery,
        {"size": 50},
        {"aliases": ["laptop"], "total_count": 1, "current_page": 1, "total_pages": 1, "size": 50},
    ),
    post(
        "key/update",
        TAG,
        "Change a key: what is left out stays, null clears",
        serializers.UpdateKey,
        {"key_alias": "laptop", "rpm_limit": 120, "budget_duration": None},
        {"key": _HASH, **_KEY, "rpm_limit": 120, "budget_duration": None},
    ),
    post(
        "key/bulk_update",
        TAG,
        "Change several keys, each by itself",
        serializers.BulkUpdate,
        {"keys": [{"key_alias": "laptop", "max_budget": 20}]},
        {"total_requested": 1, "successful_updates": [{"key": _HASH, "key_info": {}}], "failed_updates": []},
    ),
    post(
        "key/block",
        TAG,
        "Refuse a key everywhere, and cut its calls",
        serializers.KeyReference,
        {"key": "$key"},
        {**_KEY, "blocked": True},
    ),
    post(
        "key/unblock",
        TAG,
        "Let a key call again",
        serializers.KeyReference,
        {"key": "$key"},
        {**_KEY, "blocked": False},
    ),
    post(
        "key/{key}/reset_spend",
        TAG,
        "Set anew what a key has spent",
        serializers.ResetSpend,
        {"reset_to": 0},
        {"key_hash": _HASH, "spend": 0.0, "previous_spend": 0.0, "max_budget": 20.0},
        path_example={"key": "$key"},
    ),
    post(
        "key/{key}/regenerate",
        TAG,
        "Give a key a new secret",
        serializers.RegenerateKey,
        {"grace_period": "1d"},
        {"key": _SECRET, **_KEY},
        path_example={"key": "$key"},
    ),
    post(
        "key/regenerate",
        TAG,
        "Give a key a new secret, named in the body",
        serializers.RegenerateKey,
        {"key": "$key"},
        {"key": _SECRET, **_KEY},
    ),
    post(
        "key/health",
        TAG,
        "Whether the caller's key works",
        Nothing,
        {},
        {"key": "healthy", "logging_callbacks": None},
        for_everyone=True,
    ),
    post(
        "key/delete",
        TAG,
        "Delete keys, by secret, digest or name",
        serializers.KeysReference,
        {"key_aliases": ["laptop"]},
        {"deleted_keys": ["laptop"]},
    ),
]
