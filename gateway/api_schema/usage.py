"""The operations that read usage."""

from __future__ import annotations

from typing import Any

from gateway.api_schema.operation import Operation, get
from gateway.spend_api import queries
from gateway.spend_api.own import NoQuery

TAG, GLOBAL, OWN = "Usage", "Usage of all", "One's own"
_DATES = {"start_date": "2026-11-01", "end_date": "2026-11-30"}
_ROW: dict[str, Any] = {
    "request_id": "019ab3c0-7d5e-7000-8000-000000000000",
    "model": "qwen-7b",
    "prompt_tokens": 12,
    "completion_tokens": 30,
    "total_tokens": 42,
    "spend": 0.0012,
    "user": "ann@example.com",
    "team_id": "red",
    "end_user": "bob",
    "status": "success",
}
_METRICS = {"spend": 1.5, "total_tokens": 42_000, "api_requests": 120, "failed_requests": 2}
_DAYS = {
    "results": [{"date": "2026-11-20", "metrics": _METRICS, "breakdown": {"models": {}, "api_keys": {}}}],
    "metadata": {"page": 1, "total_pages": 1, "has_more": False},
}


def _pages(path: str) -> Operation:
    return get(
        path,
        TAG,
        "Read calls, page by page, newest first",
        queries.Page,
        {**_DATES, "team_id": "red", "page": 1, "page_size": 50},
        {"data": [_ROW], "total": 1, "page": 1, "page_size": 50, "total_pages": 1},
    )


OPERATIONS: list[Operation] = [
    get(
        "me",
        OWN,
        "Limits of the caller's key, what is left of them, its usage and its last errors",
        NoQuery,
        {},
        {"key": {"key_alias": "laptop"}, "blocked_by": [], "usage": {}, "errors": []},
        for_everyone=True,
    ),
    get("spend/logs", TAG, "Read calls, or sums by day", queries.Rows, {**_DATES, "summarize": "false"}, [_ROW]),
    _pages("spend/logs/v2"),
    _pages("spend/logs/ui"),
    get("spend/keys", TAG, "What keys have spent", queries.Holders, {}, [{"key_alias": "laptop", "spend": 1.5}]),
    get("spend/users", TAG, "What owners have spent", queries.Holders, {}, [{"user_id": "ann", "spend": 1.5}]),
    get(
        "spend/tags",
        TAG,
        "What calls with each tag have cost",
        queries.Range,
        _DATES,
        [{"individual_request_tag": "nightly", "log_count": 20, "total_spend": 1.5}],
    ),
    get("global/spend", GLOBAL, "What all calls have cost", queries.Range, {}, {"spend": 1.5, "max_budget": None}),
    get("global/spend/logs", GLOBAL, "By day", queries.OfKey, {}, [{"date": "2026-11-20", "spend": 1.5}]),
    get(
        "global/spend/keys",
        GLOBAL,
        "The keys that cost the most",
        queries.Top,
        {},
        [{"key_alias": "laptop", "key_name": "sk-...9aAw", "total_spend": 1.5}],
    ),
    get(
        "global/spend/models",
        GLOBAL,
        "The models that cost the most",
        queries.TopModels,
        {},
        [{"model": "qwen-7b", "total_spend": 1.5}],
    ),
    get("global/spend/teams", GLOBAL, "What teams have cost by day", queries.Range, {}, {"teams": ["The reds"]}),
    get("global/spend/tags", GLOBAL, "What tags have cost", queries.Tags, _DATES, {"spend_per_tag": []}),
    get(
        "global/activity",
        GLOBAL,
        "Calls and tokens by day",
        queries.Range,
        _DATES,
        {"daily_data": [], "sum_api_requests": 120, "sum_total_tokens": 42_000},
    ),
    get("user/daily/activity", GLOBAL, "Usage by day, of owners", queries.UserActivity, _DATES, _DAYS),
    get("team/daily/activity", GLOBAL, "Usage by day, of teams", queries.TeamActivity, _DATES, _DAYS),
    get("customer/daily/activity", GLOBAL, "Usage by day, of end users", queries.EndUserActivity, _DATES, _DAYS),
    get("end_user/daily/activity", GLOBAL, "Usage by day, of end users", queries.EndUserActivity, _DATES, _DAYS),
]
