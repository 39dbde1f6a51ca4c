"""Roll-ups and facets out of a benchmark's request log in PostgreSQL, as the recorder would have kept them: as SQL.

Rows are written in the order of time, in which calls make them.
"""

from __future__ import annotations

_SUMMED = (
    "calls",
    "errors",
    "refused",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "cost",
)
_MEASURES = ", ".join(_SUMMED)
_ADDED = ", ".join(f"sum({name})" for name in _SUMMED)
_FAILED = "coalesce(status, 0) >= 400 OR outcome NOT IN ('completed', 'client_disconnected')"
_SUMS = (
    f"count(*), count(*) FILTER (WHERE {_FAILED}), count(*) FILTER (WHERE outcome = 'refused'),"
    " sum(prompt_tokens), sum(completion_tokens), sum(cached_tokens), 0, sum(cost)"
)
_HOUR = "date_trunc('hour', received_at, 'UTC')"
_BUCKETS = [f"ttft_bucket_{n:02}" for n in range(15)] + [f"duration_bucket_{n:02}" for n in range(17)]
_EACH_TAG = "gateway_requestlog, jsonb_array_elements_text(tags) AS tag"

HOURS = f"""
INSERT INTO gateway_usagehour (hour, key_id, team_id, user_id, end_user, model, upstream_id, key_name, upstream_name,
    {_MEASURES}, {", ".join(_BUCKETS)})
SELECT {_HOUR}, key_id, team_id, user_id, coalesce(end_user, ''), model, upstream_id, key_name, upstream_name,
    {_SUMS}, {", ".join(["1"] * len(_BUCKETS))}
FROM gateway_requestlog GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9 ORDER BY 1
"""
TAGS = f"""
INSERT INTO gateway_usagehourtag (hour, tag, {_MEASURES})
SELECT {_HOUR}, tag, {_SUMS} FROM {_EACH_TAG} GROUP BY 1, 2
"""
TOTALS = f"""
INSERT INTO gateway_usagehourtotal (hour, {_MEASURES}) SELECT {_HOUR}, {_SUMS} FROM gateway_requestlog GROUP BY 1
"""
MODELS = f"""
INSERT INTO gateway_usagehourmodel (hour, team_id, model, {_MEASURES})
SELECT hour, team_id, model, {_ADDED} FROM gateway_usagehour GROUP BY 1, 2, 3 ORDER BY 1
"""
FACETS = """
INSERT INTO gateway_requestfacet (kind, value, call_id)
SELECT 'tag', tag, call_id FROM gateway_requestlog, jsonb_array_elements_text(tags) AS tag
UNION ALL SELECT 'shadowed', '', call_id FROM gateway_requestlog WHERE shadowed <> '[]'
UNION ALL SELECT 'shadowed', tag, call_id FROM gateway_requestlog, jsonb_array_elements_text(shadowed) AS tag
"""
_DAY = "(hour AT TIME ZONE 'UTC')::date"
_DIMENSIONS = {
    "team": ("team_id", "''"),
    "key": ("key_id::text", "max(key_name)"),
    "owner": ("user_id", "''"),
    "end_user": ("end_user", "''"),
    "model": ("model", "''"),
    "upstream": ("upstream_id::text", "max(upstream_name)"),
}
_DAYS = [
    f"""
INSERT INTO gateway_usageday (dimension, day, team_id, value, label, {_MEASURES})
SELECT '{dimension}', {_DAY}, team_id, {value}, {label}, {_ADDED} FROM gateway_usagehour GROUP BY 2, 3, 4 ORDER BY 2
"""
    for dimension, (value, label) in _DIMENSIONS.items()
]
_TAG_DAYS = f"""
INSERT INTO gateway_usageday (dimension, day, team_id, value, label, {_MEASURES})
SELECT 'tag', (received_at AT TIME ZONE 'UTC')::date, team_id, tag, '', {_SUMS} FROM {_EACH_TAG} GROUP BY 2, 3, 4
"""
_DAY_OF_ALL = "day::timestamp AT TIME ZONE 'UTC'"
_MONTH_OF_ALL = "date_trunc('month', day::timestamp) AT TIME ZONE 'UTC'"
_OF_ALL = [
    f"""
INSERT INTO gateway_usageofall (span, dimension, start, value, label, {_MEASURES})
SELECT '{span}', {dimension}, {start}, {value}, max({label}), {_ADDED} FROM gateway_{source} GROUP BY 2, 3, 4 ORDER BY 3
"""
    for span, dimension, start, value, label, source in (
        ("hour", "'model'", "hour", "model", "''", "usagehourmodel"),
        ("hour", "'upstream'", "hour", "upstream_id::text", "''", "usagehour"),
        ("day", "'all'", _DAY_OF_ALL, "''", "''", "usageday WHERE dimension = 'team'"),
        (
            *("day", "dimension", _DAY_OF_ALL, "value", "label"),
            "usageday WHERE dimension IN ('model', 'upstream', 'tag', 'end_user')",
        ),
        (
            *("month", "dimension", _MONTH_OF_ALL, "value", "label"),
            "usageday WHERE dimension IN ('team', 'key', 'owner', 'end_user')",
        ),
    )
]
ALL = [HOURS, TAGS, TOTALS, MODELS, *_DAYS, _TAG_DAYS, *_OF_ALL, FACETS]
"""In the order in which they are to be carried out, on tables that are empty but for the log."""
