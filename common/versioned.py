"""Tables that every process keeps a copy of in memory.

Each app that has such tables has one version row. A writer bumps it inside its own transaction, which locks
the row, so versions become visible in the order in which they were given out. Changed rows carry the version,
deleted ones leave a tombstone; a copy asks for what is newer than what it has. Knows no app and no process model.

Tombstones are kept for a day: a copy that has not looked for half a day, or that finds a lower version than its
own (a restored backup), has to load everything again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, ClassVar, Self, TypeVar

from django.db import connections, models, router, transaction
from django.utils import timezone

Row = TypeVar("Row", bound="VersionedModel")

KEEP_TOMBSTONES = timedelta(days=1)


class VersionRow(models.Model):
    """One row (id 1): the number of the app's last change.

    Each write takes a number, and each process asks for the last one every second: the statements are written out,
    since Django takes ten times as long to put them together as the database to carry them out.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    value = models.BigIntegerField(default=0)

    class Meta:
        abstract = True

    @classmethod
    def current(cls) -> int:
        """The last committed version; one indexed read. 0 in a database that was emptied."""
        with connections[router.db_for_read(cls)].cursor() as cursor:
            cursor.execute(f"SELECT value FROM {cls._meta.db_table} WHERE id = 1")  # noqa: S608 - our own name
            return _value(cursor) or 0

    @classmethod
    def bump(cls) -> int:
        """Takes the next version. Call it inside the transaction that writes the rows that carry it."""
        using = router.db_for_write(cls)
        if not connections[using].in_atomic_block:
            raise transaction.TransactionManagementError("A version is only bumped inside a transaction.")
        with connections[using].cursor() as cursor:
            cursor.execute(f"UPDATE {cls._meta.db_table} SET value = value + 1 WHERE id = 1 RETURNING value")  # noqa: S608 - our own name
            value = _value(cursor)
        if value is not None:
            return value
        # `manage.py flush` takes away what the migration made.
        cls._default_manager.bulk_create([cls(value=0)], ignore_conflicts=True)
        return cls.bump()


def _value(cursor: Any) -> int | None:
    return next((value for (value,) in cursor.fetchall()), None)


class Tombstone(models.Model):
    """What is left of a deleted row, so that copies drop it too."""

    row_id = models.BigIntegerField()
    version = models.BigIntegerField(db_index=True)
    deleted_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True


class VersionedQuerySet(models.QuerySet[Row]):
    """A query set whose writes cannot forget the version. (`bulk_update` calls `update`.)"""

    def update(self, **values: Any) -> int:
        """Updates and marks the rows as changed, in one transaction. Returns the number of rows."""
        with transaction.atomic():
            return super().update(**values, version=self.model.version_row.bump())

    update.alters_data = True  # type: ignore[attr-defined]

    def update_quietly(self, **values: Any) -> int:
        """Updates columns that no copy holds (last use, observations), without a new version."""
        return super().update(**values)

    update_quietly.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        """Deletes the rows and leaves their tombstones, in one transaction."""
        with transaction.atomic():
            version = self.model.version_row.bump()
            self.model.bury(list(self.values_list("pk", flat=True)), version)
            return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[Row], *args: Any, **kwargs: Any) -> list[Row]:
        """Inserts rows that all carry one new version."""
        rows = list(objs)
        with transaction.atomic():
            version = self.model.version_row.bump()
            for row in rows:
                row.version = version
            return super().bulk_create(rows, *args, **kwargs)

    def newer_than(self, version: int) -> Self:
        """Rows that changed after `version`."""
        return self.filter(version__gt=version)


class VersionedModel(models.Model):
    """A row that copies in memory follow. Subclasses name their app's version row and tombstones."""

    version_row: ClassVar[type[VersionRow]]
    tombstone: ClassVar[type[Tombstone]]

    version = models.BigIntegerField(default=0, db_index=True, editable=False)

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            self.version = self.version_row.bump()
            if kwargs.get("update_fields") is not None:
                kwargs["update_fields"] = {*kwargs["update_fields"], "version"}
            super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            self.bury([self.pk], self.version_row.bump())
            return super().delete(*args, **kwargs)

    @classmethod
    def bury(cls, ids: Iterable[int], version: int) -> None:
        """Leaves a tombstone for each id, and clears away the old ones."""
        tombstones = cls.tombstone._default_manager
        tombstones.filter(deleted_at__lt=timezone.now() - KEEP_TOMBSTONES).delete()
        tombstones.bulk_create(cls.tombstone(row_id=row_id, version=version) for row_id in ids)
