"""Writes what programs did to upstreams, models and keys into Django's admin history."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model

LONGEST_MESSAGE = 1000


def record(rows: Iterable[Model], action: int, message: str, who: str) -> None:
    """Notes one line for each row. `action` is one of LogEntry's; `who` is a user that nobody can sign in as.

    Call it in the transaction of the change. No form lets a person choose a user name with a blank in it.
    """
    record_each(((row, message) for row in rows), action, who)


def record_each(lines: Iterable[tuple[Model, str]], action: int, who: str) -> None:
    """As `record`, with a message for each row."""
    user, _ = get_user_model()._default_manager.get_or_create(
        username=who, defaults={"is_active": False, "password": make_password(None)}
    )
    LogEntry.objects.bulk_create(
        LogEntry(
            user_id=user.pk,
            content_type=ContentType.objects.get_for_model(row),
            object_id=str(row.pk),
            object_repr=str(row)[:200],
            action_flag=action,
            change_message=message[:LONGEST_MESSAGE],
        )
        for row, message in lines
    )
