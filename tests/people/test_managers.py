"""Who manages a team, and what they see."""

import pytest
from django.contrib.auth.models import AnonymousUser, User

from keys.models import Team, VirtualKey
from keys.scope import may_see, scoped, visible_teams
from people.models import TeamManager

pytestmark = pytest.mark.django_db


def manager(*teams: str, **fields: object) -> User:
    user = User.objects.create(username="ada", **fields)
    for team_id in teams:
        TeamManager.objects.create(user=user, team_id=team_id)
    return user


def test_a_manager_sees_their_teams():
    assert visible_teams(manager("red", "blue")) == {"red", "blue"}


def test_who_manages_no_team_sees_nothing():
    assert visible_teams(manager()) == frozenset()


def test_a_superuser_sees_everything():
    assert visible_teams(manager("red", is_superuser=True)) is None


@pytest.mark.parametrize("fields", [{"is_active": False}, {"is_active": False, "is_superuser": True}])
def test_a_disabled_person_sees_nothing(fields):
    assert visible_teams(manager("red", **fields)) == frozenset()


def test_a_stranger_sees_nothing():
    assert visible_teams(AnonymousUser()) == frozenset()


def test_rows_are_narrowed_to_the_teams():
    for team_id in ("red", "blue", None):
        VirtualKey.objects.issue(name=f"key of {team_id}", team_id=team_id)
    ada = manager("red")

    assert [key.name for key in scoped(VirtualKey.objects.all(), ada)] == ["key of red"]
    assert [may_see(ada, team) for team in ("red", "blue", None)] == [True, False, False]


@pytest.mark.parametrize("at_once", [False, True])
def test_a_deleted_team_has_no_managers(at_once):
    team = Team.objects.create(team_id="red")
    ada = manager("red", "blue")

    (Team.objects.all() if at_once else team).delete()

    assert visible_teams(ada) == {"blue"}
