"""The version of everything that the registry keeps in memory, and what is left of deleted rows."""

from common.versioned import Tombstone, VersionRow


class KeysVersion(VersionRow):
    """The number of the last change of any key, team, owner or end user."""


class DeletedKey(Tombstone):
    """What is left of a deleted key."""


class DeletedTeam(Tombstone):
    """What is left of a deleted team."""


class DeletedOwner(Tombstone):
    """What is left of a deleted owner."""


class DeletedEndUser(Tombstone):
    """What is left of a deleted end user."""
