"""The tables of keys, of those who hold or use them, and of what they may use and have used.

Every write bumps the version in its own transaction, so no copy in memory can miss it. Writers lock the version row
first: what they then read (is this name taken?) stays true until they commit. Knows no HTTP.
"""

from keys.models.counting import Counter, Lease, SpendWindow
from keys.models.groups import EndUser, Group, Owner, Team
from keys.models.secret import Secret
from keys.models.versions import DeletedEndUser, DeletedKey, DeletedOwner, DeletedTeam, KeysVersion
from keys.models.virtual_key import VirtualKey
from keys.validation import default_endpoint_classes, validate_endpoint_classes, validate_metadata, validate_models

__all__ = [
    "Counter",
    "DeletedEndUser",
    "DeletedKey",
    "DeletedOwner",
    "DeletedTeam",
    "EndUser",
    "Group",
    "KeysVersion",
    "Lease",
    "Owner",
    "Secret",
    "SpendWindow",
    "Team",
    "VirtualKey",
    "default_endpoint_classes",
    "validate_endpoint_classes",
    "validate_metadata",
    "validate_models",
]
