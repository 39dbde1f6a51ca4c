"""Who manages a team, on its page; and when people signed in, in the list of people."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from keys.models import Team
from people.models import TeamManager
from people.roles import KEY_MANAGER, OWNER
from tests.support.people import signed_in

pytestmark = pytest.mark.django_db
SEES = ("keys.view_team", "auth.view_user")
CHANGES = (*SEES, "auth.change_user", "people.add_teammanager", "people.delete_teammanager")


@pytest.fixture
def red() -> Team:
    team = Team(team_id="red", alias="Red ones")
    team.save()
    return team


def page(team: Team, verb: str = "change") -> str:
    return reverse(f"admin:keys_team_{verb}", args=[team.pk])


def ben(*teams: str, **fields: object) -> User:
    person = User.objects.create(username="ben", is_staff=True, **fields)
    person.groups.add(Group.objects.get(name=KEY_MANAGER))
    for team_id in teams:
        TeamManager.objects.create(user=person, team_id=team_id)
    return person


def said(client: Client, team: Team, **sent: object) -> str:
    return client.post(page(team, "managers"), sent, follow=True).content.decode()


def managed() -> list[str]:
    return list(TeamManager.objects.values_list("team_id", flat=True))


def test_the_page_lists_them_with_their_pages(red):
    person = ben("red")

    words = signed_in(*SEES).get(page(red)).content.decode()

    assert f'<a href="{reverse("admin:auth_user_change", args=[person.pk])}">ben</a>' in words
    assert "Add a manager" not in words


def test_who_may_not_see_people_reads_names_alone(red):
    ben("red")

    words = signed_in("keys.view_team", teams=["red"]).get(page(red)).content.decode()

    assert "<li>ben</li>" in words


def test_the_page_says_that_there_is_none(red):
    assert "Nobody manages this team" in signed_in().get(page(red)).content.decode()


def test_one_is_added_by_name(red):
    ben()

    words = said(signed_in(), red, person="ben")

    assert "“ben” manages Red ones." in words
    assert managed() == ["red"]
    assert "Manager added: ben." in words  # in the team's history


def test_one_without_a_role_is_told_of(red):
    User.objects.create(username="ben", is_staff=True)

    assert "has no role that shows keys" in said(signed_in(), red, person="ben")


def test_one_is_removed(red):
    person = ben("red", "blue")

    said(signed_in(), red, remove=person.pk)

    assert managed() == ["blue"]


@pytest.mark.parametrize("sent", [{"person": "ben"}, {"remove": "1"}])
def test_only_who_may_change_people_says_so(red, sent):
    ben("red")

    for client in (signed_in(*SEES), signed_in(*CHANGES, name="eve", teams=["red"])):
        assert client.post(page(red, "managers"), sent).status_code == 403


def test_nobody_is_added_or_removed_who_may_do_more(red):
    boss, client = ben("red"), signed_in(*CHANGES)
    boss.groups.add(Group.objects.get(name=OWNER))

    assert "they do not manage this team, or may do more" in said(client, red, remove=boss.pk)
    TeamManager.objects.all().delete()
    assert "Nobody whom you may change" in said(client, red, person="ben")
    assert managed() == []


def test_a_team_that_one_does_not_see_is_not_there(red):
    assert signed_in(*CHANGES, teams=["blue"]).post(page(red, "managers"), {"person": "ben"}).status_code == 404


def test_times_of_people_are_those_of_the_viewer(red):
    ben(last_login=timezone.now())

    listed = signed_in().get(reverse("admin:auth_user_changelist")).content.decode()

    assert listed.count("<time datetime=") >= 1
    assert "a.m." not in listed
    assert "p.m." not in listed


def test_a_name_that_no_database_takes_is_refused(red):
    assert signed_in().post(page(red, "managers"), {"person": "b\0n"}).status_code == 400
