"""People and roles in the admin: nobody gives away what they have not themselves."""

import pytest
from django.contrib.admin.models import CHANGE
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse

from keys.history import record
from keys.identity import MASTER
from people.models import TeamManager
from people.roles import KEY_MANAGER, OPERATOR, OWNER
from tests.support.people import signed_in

pytestmark = pytest.mark.django_db
PEOPLE = ("auth.view_user", "auth.add_user", "auth.change_user", "auth.delete_user")
MANAGERS = ("people.view_teammanager", "people.add_teammanager", "people.change_teammanager")


def page(person: User, verb: str = "change") -> str:
    return reverse(f"admin:auth_user_{verb}", args=[person.pk])


def sent(person: User, *teams: str, **fields: object) -> dict[str, object]:
    """What the form of a person sends."""
    rows = {f"managed_teams-{number}-team_id": team for number, team in enumerate(teams)}
    numbers = {"managed_teams-TOTAL_FORMS": len(teams), "managed_teams-INITIAL_FORMS": 0}
    return {"username": person.username, "is_active": "on", "is_staff": "on", **numbers, **rows, **fields}


def test_a_person_is_made_a_manager_of_a_team_on_their_page():
    ben, role = User.objects.create(username="ben"), Group.objects.get(name=KEY_MANAGER)

    answer = signed_in().post(page(ben), sent(ben, "red", groups=[role.pk]))

    assert answer.status_code == 302
    assert [row.team_id for row in ben.managed_teams.all()] == ["red"]
    assert list(ben.groups.all()) == [role]


@pytest.mark.parametrize(("is_staff", "is_told"), [("", True), ("on", False)])
def test_who_gives_a_role_without_the_admin_is_told(is_staff: str, is_told: bool):
    ben, role = User.objects.create(username="ben"), Group.objects.get(name=OPERATOR)

    answer = signed_in().post(page(ben), sent(ben, groups=[role.pk], is_staff=is_staff), follow=True)

    assert ("has a role and cannot sign in yet" in answer.content.decode()) is is_told


def test_an_owner_gives_any_role():
    ben, owner = User.objects.create(username="ben"), Group.objects.get(name=OWNER)
    ada = User.objects.create(username="ada", is_staff=True)
    ada.groups.add(owner)
    browser = Client()
    browser.force_login(ada)

    browser.post(page(ben), sent(ben, groups=[owner.pk], is_superuser="on"))

    ben.refresh_from_db()
    assert list(ben.groups.all()) == [owner]
    assert not ben.is_superuser


def test_who_may_change_people_makes_nobody_a_superuser_and_gives_no_role_beyond_their_own():
    browser, ada = signed_in(*PEOPLE), User.objects.get()
    key, operator = Permission.objects.get(codename="add_virtualkey"), Group.objects.get(name=OPERATOR)

    answer = browser.post(page(ada), sent(ada, groups=[operator.pk], is_superuser="on", user_permissions=[key.pk]))

    assert "not one of the available choices" in answer.content.decode()
    browser.post(page(ada), sent(ada, is_superuser="on", user_permissions=[key.pk]))
    ada.refresh_from_db()
    assert not ada.is_superuser
    assert not ada.groups.exists()
    assert not ada.user_permissions.filter(pk=key.pk).exists()


@pytest.mark.parametrize("verb", ["change", "delete", "password_change"])
def test_nobody_takes_over_who_may_do_more(verb):
    browser, boss = signed_in(*PEOPLE), User.objects.create(username="boss", is_superuser=True)

    answer = browser.post(
        page(boss, verb), {**sent(boss), "password1": "a long new one", "password2": "a long new one"}
    )

    assert answer.status_code == 403
    assert User.objects.filter(username="boss", is_superuser=True, password="").exists()


@pytest.mark.parametrize("verb", ["change", "delete", "password_change"])
def test_nobody_takes_over_who_may_do_more_and_is_locked_out(verb):
    browser, boss = signed_in(*PEOPLE), User.objects.create(username="boss", is_active=False)
    boss.groups.add(Group.objects.get(name=OWNER))

    answer = browser.post(
        page(boss, verb), {**sent(boss), "password1": "a long new one", "password2": "a long new one"}
    )

    assert answer.status_code == 403
    assert User.objects.filter(username="boss", is_active=False, password="").exists()


def test_nobody_takes_over_who_manages_another_team(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    browser, ben = signed_in(*PEOPLE, teams=["red"]), User.objects.create(username="ben", is_staff=True)
    passwords = {"password1": "a long new one", "password2": "a long new one"}
    TeamManager.objects.create(user=ben, team_id="red")
    assert browser.post(page(ben, "password_change"), passwords).status_code == 302

    TeamManager.objects.create(user=ben, team_id="blue")

    assert browser.post(page(ben, "password_change"), passwords).status_code == 403
    assert browser.post(page(ben), sent(ben)).status_code == 403


def test_nobody_deletes_who_may_do_more_from_the_list():
    browser, boss = signed_in(*PEOPLE), User.objects.create(username="boss", is_superuser=True)

    sent = {"action": "delete_selected", "_selected_action": [boss.pk], "post": "yes"}
    browser.post(reverse("admin:auth_user_changelist"), sent)

    assert User.objects.filter(username="boss").exists()


def test_a_manager_makes_nobody_a_manager():
    browser, ada = signed_in(*PEOPLE, *MANAGERS, teams=["red"]), User.objects.get()

    browser.post(page(ada), sent(ada, "blue"))

    assert not TeamManager.objects.filter(team_id="blue").exists()


def test_a_built_in_role_is_shown_and_not_changed():
    role, browser = Group.objects.get(name=OPERATOR), signed_in()
    address = reverse("admin:auth_group_change", args=[role.pk])

    assert browser.get(address).status_code == 200
    assert browser.post(address, {"name": "Other"}).status_code == 403
    browser.post(
        reverse("admin:auth_group_changelist"),
        {"action": "delete_selected", "_selected_action": [role.pk], "post": "yes"},
    )
    assert Group.objects.filter(name=OPERATOR).exists()


def test_a_role_of_ones_own_holds_no_more_than_ones_own_permissions():
    browser = signed_in("auth.add_group", "auth.view_group", "keys.view_virtualkey")
    mine, other = (Permission.objects.get(codename=name) for name in ("view_virtualkey", "change_virtualkey"))
    address = reverse("admin:auth_group_add")

    browser.post(address, {"name": "Too much", "permissions": [mine.pk, other.pk]})
    browser.post(address, {"name": "Readers", "permissions": [mine.pk]})

    assert not Group.objects.filter(name="Too much").exists()
    assert Group.objects.filter(name="Readers").exists()


def test_the_list_tells_roles_and_teams():
    ben = User.objects.create(username="ben")
    ben.groups.add(Group.objects.get(name=KEY_MANAGER))
    TeamManager.objects.create(user=ben, team_id="red")

    words = signed_in().get(reverse("admin:auth_user_changelist")).content.decode()

    assert "Key manager" in words
    assert "red" in words
    assert "Superuser" in words


def test_roles_are_called_roles_and_told_by_the_line():
    browser, operator = signed_in(), Group.objects.get(name=OPERATOR)

    listed = browser.get(reverse("admin:auth_group_changelist")).content.decode()
    shown = browser.get(reverse("admin:auth_group_change", args=[operator.pk])).content.decode()
    added = browser.get(reverse("admin:auth_group_add")).content.decode()

    assert "<h1>Roles</h1>" in listed
    assert "Add role" in listed
    assert "<div><b>Upstreams</b>: see; add" in shown
    assert "Can change" not in shown
    assert "Keys, teams, owners, end users, upstreams" in shown
    assert not [word for word in ("Lease", "Counter", "Encryption canary", "Deleted key") if f"<b>{word}" in shown]
    assert "<title>Select role to change" in listed
    assert 'name="permissions"' in added
    assert Group._meta.verbose_name == "group"


def test_the_list_is_narrowed_by_role_and_tells_who_is_nobody():
    record(MASTER, [Group.objects.get(name=OPERATOR)], CHANGE, "Changed")
    User.objects.create(username="ann lee")

    html = signed_in().get(reverse("admin:auth_user_changelist")).content.decode()

    assert html.count("stands in the history for the master key; nobody can sign in as it") == 1
    assert "stands in the history for the ann lee" not in html
    assert "<span>Role</span>" in html
    assert "<span>Groups</span>" not in html
