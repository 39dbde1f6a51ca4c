"""The built-in roles: groups of Django's whose permissions are kept as they stand here, at every migration.

Who wants another mixture makes a group of their own. A role names permissions by patterns, so that it has those of
pages that come later too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from django.apps import apps as installed
from django.db import router, transaction

OWNER, OPERATOR, KEY_MANAGER, AUDITOR = "Owner", "Operator", "Key manager", "Auditor"
EVERY_TEAM = "people.view_every_team"

CAPTURES = ("gateway.*capture*", "gateway.*payload*")
"""What was said in calls: only owners may begin to keep it, or read it."""

ROLES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    OWNER: (("*.*",), ()),
    OPERATOR: (("keys.*", "upstreams.*", "gateway.*", EVERY_TEAM), CAPTURES),
    KEY_MANAGER: (
        (
            "keys.*_virtualkey",
            "keys.view_team",
            "gateway.view_requestlog",
            "gateway.view_usage*",
            "gateway.view_page_usage",
            "gateway.use_policy_check",
            "gateway.use_playground",
        ),
        (),
    ),
    AUDITOR: (("*.view_*", "gateway.use_policy_check", "gateway.export_*"), CAPTURES),
}
"""Which permissions a role has, and which of them it has not."""

WORDS: Mapping[str, str] = {
    OWNER: "everything, people and roles included; not: make somebody a superuser",
    OPERATOR: "keys, teams, owners, end users, upstreams, models, routing, request logs, usage",
    KEY_MANAGER: "issue, change, rotate, block and delete the keys of the teams that they manage; see these teams, "
    "their calls and their usage; nothing else",
    AUDITOR: "see everything, and change nothing",
}
"""What each may, in words: those of docs/sign-in.md."""

SEEING_KEYS = ("keys.view_virtualkey", "keys.change_virtualkey", "gateway.view_requestlog")


def has(role: str, permission: str) -> bool:
    """Whether the built-in role has this permission (`keys.view_virtualkey`)."""
    wanted, excepted = ROLES[role]
    fits = [any(fnmatchcase(permission, pattern) for pattern in patterns) for patterns in (wanted, excepted)]
    return fits[0] and not fits[1]


def keep_roles(sender: Any, using: str, apps: Any = installed, **_: Any) -> None:
    """After a migration, once the permissions of all apps are there: makes the roles, and gives them what they have.

    Waits for the last of the installed apps: Django makes the permissions of one after the other.
    """
    if sender.label != list(installed.get_app_configs())[-1].label:
        return
    try:
        group, permission = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
        apps.get_model("people", "TeamManager")
    except LookupError:  # migrated back to before there was any
        return
    if router.allow_migrate_model(using, group):
        with transaction.atomic(using=using):
            _keep(group.objects.using(using), permission.objects.using(using))


def _keep(groups: Any, permissions: Any) -> None:
    known = {
        f"{app}.{codename}": pk
        for pk, app, codename in permissions.values_list("pk", "content_type__app_label", "codename")
    }
    if not groups.filter(name__in=ROLES).exists():
        _widen(groups.model, permissions, known)
    for name in ROLES:
        role, _ = groups.get_or_create(name=name)
        _give(role, {pk for permission, pk in known.items() if has(name, permission)})


def _give(role: Any, wanted: Iterable[int]) -> None:
    if set(role.permissions.values_list("pk", flat=True)) != wanted:
        role.permissions.set(wanted)


def _widen(group: Any, permissions: Any, known: Mapping[str, int]) -> None:
    """The first time: whoever saw keys or calls until now saw those of every team, and goes on doing so."""
    every = permissions.filter(pk=known.get(EVERY_TEAM)).first()
    seeing = [known[name] for name in SEEING_KEYS if name in known]
    if every is None:
        return
    users = installed.get_model("auth", "User")._default_manager.using(permissions.db)
    for holder in users.filter(user_permissions__in=seeing).distinct():
        holder.user_permissions.add(every.pk)
    for holder in group.objects.using(permissions.db).filter(permissions__in=seeing).distinct():
        holder.permissions.add(every.pk)
