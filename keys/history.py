"""Writes what the key API did into Django's admin history. For the control plane only: the relay has no admin."""

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model

from keys.identity import MASTER, Identity
from keys.limit_values import COLUMNS

# No form lets a person choose a user name with a blank in it.
MASTER_USER = "master key"
MANAGEMENT_USER = "management key"
LONGEST_NAME = 255
LONGEST_VALUE = 200
# What holds nothing but numbers, periods and names of models.
_SHOWN = frozenset((*COLUMNS, "blocked", "team_id"))


def name_of(manager: Identity) -> str:
    """What a manager is called as the maker of a key."""
    return MASTER_USER if manager is MASTER else f"{MANAGEMENT_USER} {manager.label}"[:LONGEST_NAME]


def record(manager: Identity, rows: Iterable[Model], action: int, what: str, changed_by: str = "") -> None:
    """Notes that `what` was done to the rows, of any table, by the manager. Call it in the transaction of the change.

    `action` is one of LogEntry's; `changed_by` is the claim of the header `litellm-changed-by`, kept beside.
    """
    is_master = manager is MASTER
    user, _ = get_user_model()._default_manager.get_or_create(
        username=MASTER_USER if is_master else MANAGEMENT_USER,
        defaults={"is_active": False, "password": make_password(None)},
    )
    by = "" if is_master else f" by {manager.label}"
    claim = f" litellm-changed-by: {changed_by}" if changed_by else ""
    LogEntry.objects.bulk_create(
        LogEntry(
            user_id=user.pk,
            content_type=ContentType.objects.get_for_model(row),
            object_id=str(row.pk),
            object_repr=str(row)[:200],
            action_flag=action,
            change_message=f"{what} through the key API{by}.{claim}",
        )
        for row in rows
    )


def changes(row: Model, columns: Mapping[str, Any]) -> str:
    """A sentence on what the columns' new values change in the row as it still is: of limits, from what to what."""
    before = {name: getattr(row, name) for name in columns}
    parts = [
        f"{name} ({_shown(before[name])} → {_shown(value)})" if name in _SHOWN and before[name] != value else name
        for name, value in columns.items()
    ]
    return f"Changed {', '.join(parts) or 'nothing'}"


def _shown(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"
