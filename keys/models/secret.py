"""What a client holds, without its plain text, which passes through here once and is not kept."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from hmac import compare_digest
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import CASCADE, CharField, DateTimeField, ForeignKey, Model, Q, QuerySet
from django.utils import timezone

from keys import crypto
from keys.errors import SecretTaken
from keys.models.versions import KeysVersion

TOUCH_BATCH = 500


def _mark_changed(key_ids: Iterable[int]) -> None:
    """Gives the keys a new version because a secret of theirs changed."""
    keys: Any = Secret._meta.get_field("key").related_model
    keys.objects.filter(pk__in=list(key_ids)).mark_changed()


class SecretQuerySet(QuerySet["Secret"]):
    """Secrets whose writes mark their keys as changed."""

    def _mark_keys(self) -> None:
        # The version's lock comes first, so that the ids cannot change under us.
        KeysVersion.bump()
        _mark_changed(self.values_list("key_id", flat=True))

    def update(self, **values: Any) -> int:
        """Updates the secrets and marks their keys, in one transaction."""
        with transaction.atomic():
            self._mark_keys()
            return super().update(**values)

    update.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        """Deletes the secrets and marks their keys, in one transaction."""
        with transaction.atomic():
            self._mark_keys()
            return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[Secret], *args: Any, **kwargs: Any) -> list[Secret]:
        """Inserts the secrets and marks their keys, in one transaction."""
        secrets = list(objs)
        with transaction.atomic():
            _mark_changed({secret.key_id for secret in secrets})
            return super().bulk_create(secrets, *args, **kwargs)

    def touch(self, ids: Iterable[int], at: datetime) -> None:
        """Notes the last use of the secrets with these ids; quiet, never backwards."""
        for batch in batches(ids):
            unused = Q(last_used_at=None) | Q(last_used_at__lt=at)
            QuerySet.update(self.filter(unused, pk__in=batch), last_used_at=at)

    touch.alters_data = True  # type: ignore[attr-defined]

    def ensure_free(self, plain: str) -> None:
        """Raises SecretTaken when a key, or the master key, is this text. Exact after a bump in a transaction."""
        digest = crypto.digest(plain)
        is_master = compare_digest(digest, crypto.digest(settings.MASTER_KEY))
        if is_master or self.filter(digest=digest).exists():
            raise SecretTaken


class Secret(Model):
    """What the client holds, without its plain text. A key has several while a rotation overlaps."""

    key = ForeignKey("keys.VirtualKey", on_delete=CASCADE, related_name="secrets")
    digest = CharField(max_length=64, unique=True, editable=False)
    prefix = CharField(max_length=16, editable=False)
    last_four = CharField(max_length=4, editable=False)
    created_at = DateTimeField(default=timezone.now, editable=False)
    expires_at = DateTimeField(null=True, blank=True, help_text="The end of a rotation's overlap.")
    last_used_at = DateTimeField(null=True, blank=True, editable=False)

    objects = SecretQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return crypto.mask(self.last_four)

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            _mark_changed([self.key_id])
            super().save(*args, **kwargs)

    def save_with_new_key(self) -> None:
        """Inserts the first secret of a key that this transaction has inserted: the key's version tells of both."""
        super().save(force_insert=True)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            _mark_changed([self.key_id])
            return super().delete(*args, **kwargs)


def batches(ids: Iterable[int]) -> Iterable[list[int]]:
    """The ids in batches that one statement takes."""
    every = sorted(set(ids))
    return (every[start : start + TOUCH_BATCH] for start in range(0, len(every), TOUCH_BATCH))
