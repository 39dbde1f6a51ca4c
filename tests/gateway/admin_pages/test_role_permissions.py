"""The permissions that forms offer: those that a page asks for, in words; what is held beyond them is kept."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.test import RequestFactory
from django.urls import reverse

from gateway.admin_pages.role_permissions import OFFERED, in_words, name_of
from tests.support.people import signed_in

pytestmark = pytest.mark.django_db
NAMES = {name for words in OFFERED.values() for name in words}
INNER = "keys.change_lease"


def found(*names: str) -> list[Permission]:
    return [row for row in Permission.objects.select_related("content_type") if name_of(row) in names]


def boxes(html: str) -> set[int]:
    return {int(pk) for pk in re.findall(r'<input type="checkbox" name="(?:user_)?permissions" value="(\d+)"', html)}


def asked_by_forms() -> set[str]:
    """What the admin asks of each table that has a page, or rows in another's, where everything is allowed."""
    request = RequestFactory().get("/")
    request.user = User.objects.create(username="root", is_staff=True, is_superuser=True)
    verbs = ("view", "add", "change", "delete")
    pages = list(admin.site._registry.values())
    allowed = [
        *((page.opts, verb) for page in pages for verb in verbs if getattr(page, f"has_{verb}_permission")(request)),
        *((inline.model._meta, verb) for page in pages for inline in page.inlines for verb in verbs),
    ]
    return {f"{table.app_label}.{verb}_{table.model_name}" for table, verb in allowed}


def asked_by_name() -> set[str]:
    """Permissions that the code or a template names."""
    known = set(map(name_of, Permission.objects.select_related("content_type")))
    places = (Path(settings.BASE_DIR, name) for name in ("gateway", "keys", "people", "templates", "upstreams"))
    paths = (path for place in places for path in place.rglob("*") if path.suffix in {".py", ".html"})
    texts = (path.read_text() for path in paths if path.name != "role_permissions.py")
    return known.intersection(*[[name for text in texts for name in re.findall(r"\b[a-z]+\.[a-z]+_[a-z_]+\b", text)]])


def test_what_pages_ask_for_is_offered_and_nothing_else() -> None:
    assert asked_by_forms() | asked_by_name() == NAMES
    assert len(found(*NAMES)) == len(NAMES)  # each of them exists


def test_the_form_of_a_role_has_them_under_headings_in_words() -> None:
    html = signed_in().get(reverse("admin:auth_group_add")).content.decode()
    assert boxes(html) == {row.pk for row in found(*NAMES)}
    assert "<legend>Virtual keys</legend>" in html
    assert "> Change, rotate, extend, block and kill</label>" in html
    assert "Can add" not in html
    assert "lease" not in html


def test_nobody_is_offered_what_they_have_not_themselves() -> None:
    browser = signed_in("auth.add_group", "auth.view_group", "keys.view_team", INNER)
    html = browser.get(reverse("admin:auth_group_add")).content.decode()
    assert boxes(html) == {row.pk for row in found("auth.add_group", "auth.view_group", "keys.view_team",
                                                    "people.view_every_team")}  # fmt: skip
    assert "<legend>Owners</legend>" not in html


def test_what_a_role_holds_beyond_is_kept_and_said() -> None:
    role = Group.objects.create(name="Readers")
    role.permissions.set(found(INNER, "keys.view_team", "keys.add_team"))
    address, browser = reverse("admin:auth_group_change", args=[role.pk]), signed_in()
    (kept,) = found("keys.view_team")

    assert "1 more is held, and kept" in browser.get(address).content.decode()
    browser.post(address, {"name": "Readers", "permissions": [kept.pk]})

    assert set(map(name_of, role.permissions.all())) == {INNER, "keys.view_team"}


def test_a_role_that_was_saved_as_it_was_has_not_changed() -> None:
    role = Group.objects.create(name="Readers")
    role.permissions.set(found(INNER, "keys.view_team"))
    (kept,) = found("keys.view_team")

    signed_in().post(reverse("admin:auth_group_change", args=[role.pk]), {"name": "R2", "permissions": [kept.pk]})

    assert "permissions" not in LogEntry.objects.get().change_message.lower()


def test_single_permissions_of_a_person_are_offered_alike_and_kept() -> None:
    ben = User.objects.create(username="ben")
    ben.user_permissions.set(found(INNER))
    (added,) = found("keys.view_team")
    address, browser = reverse("admin:auth_user_change", args=[ben.pk]), signed_in()

    assert boxes(browser.get(address).content.decode()) == {row.pk for row in found(*NAMES)}
    forms = {"managed_teams-TOTAL_FORMS": 0, "managed_teams-INITIAL_FORMS": 0}
    browser.post(address, {"username": "ben", "user_permissions": [added.pk], **forms})

    assert set(map(name_of, ben.user_permissions.all())) == {INNER, "keys.view_team"}


def test_who_is_no_superuser_reads_the_single_permissions_in_words() -> None:
    ben = User.objects.create(username="ben")
    ben.user_permissions.set(found("keys.view_team", "keys.add_team"))
    html = signed_in("auth.view_user").get(reverse("admin:auth_user_change", args=[ben.pk])).content.decode()
    assert "<div><b>Teams</b>: see; add</div>" in html
    assert "Can add" not in html


def test_nothing_is_told_of_what_no_page_asks_for() -> None:
    assert in_words(Permission.objects.filter(pk__in=[row.pk for row in found(INNER)])) == "none"
