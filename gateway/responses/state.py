"""The conversations in the database: no more in all than a set size, and none under an encryption key that goes."""

from __future__ import annotations

from django.db.models import Sum

from gateway.models import StoredResponse

_BATCH = 500


def drop_oldest(most_bytes: int) -> int:
    """Takes states out, the oldest first, until all together have no more than this; returns how many."""
    rows = StoredResponse.objects.filter(state_bytes__gt=0)
    beyond = (rows.aggregate(total=Sum("state_bytes"))["total"] or 0) - most_bytes
    dropped = 0
    while beyond > 0:
        oldest = []
        for pk, size in rows.order_by("created_at").values_list("pk", "state_bytes")[:_BATCH]:
            if beyond <= 0:
                break
            oldest.append(pk)
            beyond -= size
        if not oldest:
            break
        dropped += StoredResponse.objects.filter(pk__in=oldest).update(state=None, state_bytes=0)
    return dropped


def drop_all() -> int:
    """Takes every state out; returns how many. Whose the responses are is still known."""
    return StoredResponse.objects.filter(state_bytes__gt=0).update(state=None, state_bytes=0)
