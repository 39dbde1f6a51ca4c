"""The version of what every process keeps a copy of: upstreams, deployments, aliases and the routing."""

from __future__ import annotations

from common.versioned import Tombstone, VersionRow


class UpstreamsVersion(VersionRow):
    """The number of the last change to upstreams and deployments."""

    @classmethod
    def lock(cls) -> None:
        """Keeps other writers out until the transaction ends, so that what is read now holds until then.

        (SQLite has no row locks and needs none: its transactions are opened for writing.)
        """
        row = cls._default_manager.select_for_update().filter(pk=1)
        if row.first() is None:  # `manage.py flush` takes away what the migration made
            cls._default_manager.bulk_create([cls()], ignore_conflicts=True)
            row.get()


class DeletedUpstream(Tombstone):
    """What is left of a deleted upstream."""
