"""The page on teams, users and customers names every route and every field that they have in common."""

import re
from pathlib import Path

from keys.groups_api.serializers import GroupFields
from keys.groups_api.urls import urlpatterns

PAGE = (Path(__file__).parents[2] / "docs/teams.md").read_text()


def named_in(section):
    rows = re.split(r"^## ", PAGE.partition(f"\n## {section}\n")[2], maxsplit=1, flags=re.MULTILINE)[0].splitlines()
    return {name for row in rows if row.startswith("| `") for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


def test_every_route_is_documented_and_every_documented_one_exists():
    routes = {str(route.pattern) for route in urlpatterns}
    documented = {name.rpartition(" ")[2].removeprefix("/") for name in named_in("Routes")}
    assert documented == {route for route in routes if not route.startswith("end_user/")}


def test_every_common_field_is_documented():
    assert named_in("What all have in common") == set(GroupFields().fields)
