"""Teams and owners, who hold keys, and end users, who stand behind the calls: each with limits of its own.

Keys and calls name them by text, so that a name may be used before anybody has said what its limits are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar
from uuid import uuid4

from django.db import transaction
from django.db.models import BigIntegerField, CharField, DateTimeField, Index, JSONField
from django.utils import timezone

from common.versioned import VersionedQuerySet
from keys.models.limited import WITH_BUDGET, Limited
from keys.models.versions import DeletedEndUser, DeletedOwner, DeletedTeam, KeysVersion
from keys.models.virtual_key import VirtualKey

LONGEST_ID = 128
LONGEST_TEAM_ID = 64


def _new_id() -> str:
    return str(uuid4())


class Group(Limited):
    """What teams, owners and end users have in common: a name for machines, one for people, and limits."""

    kind: ClassVar[str]
    """What counters and answers call it: `team`, `user` or `end_user`."""
    version_row = KeysVersion

    alias = CharField(max_length=255, default="", blank=True, help_text="What people call it.")
    created_at = DateTimeField(default=timezone.now, editable=False, db_index=True)
    created_by = CharField(max_length=255, default="", blank=True, editable=False)
    updated_at = DateTimeField(default=timezone.now, editable=False)

    class Meta:
        abstract = True
        ordering = ["-created_at", "-pk"]
        # What the first page asks for: few of many people.
        indexes = [Index(fields=["created_at"], name="%(class)s_with_budget", condition=WITH_BUDGET)]

    def __str__(self) -> str:
        return self.alias or self.public_id

    @property
    def public_id(self) -> str:
        """The text by which keys and calls name it."""
        raise NotImplementedError

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.updated_at = timezone.now()
        if kwargs.get("update_fields") is not None:
            kwargs["update_fields"] = {*kwargs["update_fields"], "updated_at"}
        super().save(*args, **kwargs)


class HoldersQuerySet(VersionedQuerySet[Any]):
    """Those whose keys go with them: a key without its team's limits would be a key without limits."""

    def delete(self) -> tuple[int, dict[str, int]]:
        """Deletes the rows and their keys, in one transaction."""
        with transaction.atomic():
            KeysVersion.bump()
            self.model.delete_keys([row.public_id for row in self])
            return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


class _Holder(Group):
    column: ClassVar[str]

    class Meta(Group.Meta):
        abstract = True

    @property
    def keys(self) -> Any:
        """Its virtual keys."""
        return VirtualKey.objects.filter(**{self.column: self.public_id})

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            KeysVersion.bump()
            self.delete_keys([self.public_id])
            return super().delete(*args, **kwargs)

    @classmethod
    def delete_keys(cls, ids: Iterable[str]) -> None:
        """Deletes the keys of these."""
        VirtualKey.objects.filter(**{f"{cls.column}__in": list(ids)}).delete()


class Team(_Holder):
    """Several keys that share limits. Others call it a project."""

    kind, column = "team", "team_id"
    tombstone = DeletedTeam

    team_id = CharField(max_length=LONGEST_TEAM_ID, unique=True, default=_new_id)
    members = JSONField(default=list, blank=True, help_text="For your own use: who belongs to the team.")

    objects = HoldersQuerySet.as_manager()

    @property
    def public_id(self) -> str:
        return self.team_id


class Owner(_Holder):
    """Who holds keys; LiteLLM calls it a user. Has nothing to do with who may log in, unless an admin links the two."""

    kind, column = "user", "user_id"
    tombstone = DeletedOwner

    user_id = CharField(max_length=LONGEST_ID, unique=True, default=_new_id)
    email = CharField(max_length=255, null=True, blank=True, unique=True)
    role = CharField(max_length=50, default="", blank=True, help_text="For your own use.")
    login_id = BigIntegerField(
        "log-in", null=True, blank=True, unique=True, help_text="The person of this site who is meant."
    )

    objects = HoldersQuerySet.as_manager()

    @property
    def public_id(self) -> str:
        return self.user_id

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.email = self.email or None
        super().save(*args, **kwargs)


class EndUsersQuerySet(VersionedQuerySet[Any]):
    """End users, who hold no keys."""


class EndUser(Group):
    """The person behind a call, as the caller names them; LiteLLM calls it a customer."""

    kind = "end_user"
    tombstone = DeletedEndUser

    end_user_id = CharField(max_length=LONGEST_ID, unique=True)

    objects = EndUsersQuerySet.as_manager()

    class Meta(Group.Meta):
        verbose_name = "end user"

    @property
    def public_id(self) -> str:
        return self.end_user_id
