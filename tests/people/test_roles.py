"""The built-in roles: made by the migration, and kept."""

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command

from people.roles import AUDITOR, KEY_MANAGER, OPERATOR, OWNER, has

pytestmark = pytest.mark.django_db


def held(role: str) -> set[str]:
    rows = Group.objects.get(name=role).permissions.values_list("content_type__app_label", "codename")
    return {f"{app}.{codename}" for app, codename in rows}


def test_the_owner_has_every_permission():
    assert len(held(OWNER)) == Permission.objects.count()


def test_an_operator_manages_keys_and_upstreams_and_no_people():
    found = held(OPERATOR)

    assert {"keys.add_virtualkey", "upstreams.change_upstream", "people.view_every_team"} <= found
    assert not {name for name in found if name.startswith("auth.") or "teammanager" in name}


def test_a_key_manager_changes_nothing_but_keys():
    found = held(KEY_MANAGER)

    assert {"keys.add_virtualkey", "keys.delete_virtualkey", "keys.view_team"} <= found
    assert "people.view_every_team" not in found
    changing = {name for name in found if name.split(".")[1].split("_")[0] in {"add", "change", "delete"}}
    assert {name.rpartition("_")[2] for name in changing} == {"virtualkey"}


def test_an_auditor_only_looks():
    found = held(AUDITOR)

    assert {"keys.view_virtualkey", "gateway.view_requestlog", "auth.view_user", "people.view_every_team"} <= found
    assert not {name for name in found if name.split(".")[1].split("_")[0] in {"add", "change", "delete", "manage"}}


def test_nobody_but_the_owner_may_read_what_was_said():
    kept = [name for name in held(OWNER) if "capture" in name or "payload" in name]

    assert not [name for name in kept if has(OPERATOR, name) or has(AUDITOR, name) or has(KEY_MANAGER, name)]


def test_a_role_that_was_changed_is_itself_again_after_a_migration():
    Group.objects.get(name=AUDITOR).permissions.clear()
    Group.objects.get(name=KEY_MANAGER).delete()

    call_command("migrate", verbosity=0)

    assert "keys.view_virtualkey" in held(AUDITOR)
    assert "keys.add_virtualkey" in held(KEY_MANAGER)


def test_who_saw_keys_before_there_were_roles_sees_those_of_every_team():
    Group.objects.all().delete()
    ada, ben = (User.objects.create(username=name) for name in ("ada", "ben"))
    ada.user_permissions.add(Permission.objects.get(codename="view_virtualkey"))

    call_command("migrate", verbosity=0)

    assert [User.objects.get(pk=one.pk).has_perm("people.view_every_team") for one in (ada, ben)] == [True, False]
