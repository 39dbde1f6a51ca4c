"""What is left after a test that commits."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import TransactionTestCase

from keys.models import Team
from people.roles import AUDITOR, ROLES
from upstreams.models import UpstreamsVersion

pytestmark = pytest.mark.django_db(transaction=True)


def empty() -> None:
    TransactionTestCase()._fixture_teardown()


def test_rows_go_and_roles_with_their_permissions_stay() -> None:
    empty()
    permissions = Permission.objects.count()
    User.objects.create(username="ada").groups.add(Group.objects.get(name=AUDITOR))
    Team.objects.create(team_id="red")
    empty()
    assert not User.objects.exists()
    assert not Team.objects.exists()
    assert {group.name for group in Group.objects.all()} == set(ROLES)
    assert Permission.objects.count() == permissions
    assert UpstreamsVersion.current() == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda: Group.objects.get(name=AUDITOR).delete(),
        lambda: Group.objects.create(name="more"),
        lambda: Group.objects.get(name=AUDITOR).permissions.clear(),
        lambda: Permission.objects.update(name="changed"),
    ],
)
def test_roles_that_were_touched_are_themselves_again(change: Callable[[], object]) -> None:
    empty()
    change()
    empty()
    assert {group.name for group in Group.objects.all()} == set(ROLES)
    assert Group.objects.get(name=AUDITOR).permissions.exists()
    assert not Permission.objects.filter(name="changed").exists()
