"""How a database reads a page of a long request log. PostgreSQL decides by what it knows of a table and its values."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.db.models import QuerySet

_MANY_CALLS = """
INSERT INTO gateway_requestlog (call_id, request_id, received_at, key_name, method, route, outcome, streaming,
    usage_source, tags, shadowed, key_id, upstream_id, model, user_id, team_id, end_user, status, error_type)
SELECT gen_random_uuid(), 'r' || n, now(), '', 'POST', '/r' || n % 100,
    CASE WHEN n % 100 = 0 THEN 'lost' ELSE 'completed' END, false, 'none', '[]', '[]', n % 100, n % 100,
    'm' || n % 100, 'u' || n % 100, 't' || n % 100, 'e' || n % 100, CASE WHEN n % 100 = 0 THEN 500 ELSE 200 END,
    CASE WHEN n % 25 = 0 THEN 'e' || n % 100 END
FROM generate_series(1, 5000) AS n
"""


def plan_of(rows: QuerySet[Any, Any]) -> str:
    """The plan for these rows of a log with many calls, the rest of which the test's transaction takes back."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(_MANY_CALLS)
            cursor.execute("ANALYZE gateway_requestlog")
    return rows.explain()
