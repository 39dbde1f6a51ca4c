"""Writes what the key API did into Django's admin history. For the control plane only: the relay has no admin."""

from collections.abc import Iterable

from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.contenttypes.models import ContentType

from keys.identity import MASTER, Identity
from keys.models import VirtualKey

# No form lets a person choose a user name with a blank in it.
MASTER_USER = "master key"
MANAGEMENT_USER = "management key"
LONGEST_NAME = 255


def name_of(manager: Identity) -> str:
    """What a manager is called as the maker of a key."""
    return MASTER_USER if manager is MASTER else f"{MANAGEMENT_USER} {manager.label}"[:LONGEST_NAME]


def record(manager: Identity, keys: Iterable[VirtualKey], action: int, what: str, changed_by: str = "") -> None:
    """Notes that `what` was done to the keys by the manager. Call it in the transaction of the change.

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
            content_type=ContentType.objects.get_for_model(VirtualKey),
            object_id=str(key.pk),
            object_repr=str(key)[:200],
            action_flag=action,
            change_message=f"{what} through the key API{by}.{claim}",
        )
        for key in keys
    )
