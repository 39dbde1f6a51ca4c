"""Every address of the admin, tried by every role with objects that are not theirs.

The addresses come from the URL resolver: a page that is added is tried without being named here. The admin holds one
team of the key manager's, red, and another, blue. Whatever blue's rows say holds the word `theirs`, as does the name of
a management key of red's; their ids do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.db import connection, transaction
from django.db.models import Model
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from gateway.account.log_store import LogStore
from gateway.models import CapturedPayload, PayloadCapture, RequestLog
from keys.models import EndUser, Owner, Team, VirtualKey
from people.models import SignInAttempt, TeamManager
from people.roles import AUDITOR, KEY_MANAGER, OPERATOR
from tests.support import people
from tests.support.entries import an_entry
from tests.support.people import signed_in, undrawn
from upstreams import crypto
from upstreams.models import ModelAlias, Routing, Upstream

pytestmark = pytest.mark.django_db

SHOWN = re.compile(r"theirs|7,654,3|76543|8,888,8|88888|98\.76|98\.77")
"""The word, and the figures of blue's usage, its own or added to red's."""
NOSY = "Everything, of their team"
"""A role that has every permission for keys, upstreams and traffic, and not the one for every team."""
REFUSED = {403, 404, 405}
LEAVE_OUT = ("admin:logout",)
"""Nothing is tried after it."""


@dataclass
class World:
    """What there is, and the ids of what is not the key manager's."""

    rows: dict[type[Model], Any] = field(default_factory=dict)

    def ids(self) -> dict[str, Any]:
        """Under the names that pages might ask for."""
        key, team, owner, end_user, call, upstream = (
            self.rows[table].pk for table in (VirtualKey, Team, Owner, EndUser, RequestLog, Upstream)
        )
        texts = {"team": "blue", "team_id": "blue", "user": "bo", "user_id": "bo", "owner": "bo", "end_user": "eve"}
        ids = {"key": key, "key_id": key, "keys": key, "ids": key, "id": key, "call": call, "call_id": call.hex}
        more = {"upstream": upstream, "by": "key", "group": "team", "tag": "blue-tag", "q": "req-", "version": 1}
        return {**texts, **ids, **more, "object": team, "holder": owner, "person": end_user}


FIGURES = {"theirs": {"prompt_tokens": 7_654_321, "completion_tokens": 1_234_567, "cost": "98.7654"}}


def a_call(team: str, key: VirtualKey, word: str, **fields: Any) -> RequestLog:
    at = timezone.now().timestamp() - 60
    entry = an_entry(
        at=at,
        request_id=f"req-{word}",
        team_id=team,
        key_id=key.pk,
        key_name=str(key.name),
        model=f"model-{word}",
        error_type="invalid_request_error",
        error_text=f"said {word}",
        status=400,
        tags=[f"tag-{word}"],
        **FIGURES.get(word, {}),
        **fields,
    )
    LogStore().store([entry], pytest.fail)
    return RequestLog.objects.get(pk=UUID(entry["call_id"]))


def captured(key: VirtualKey, call: RequestLog, word: str) -> tuple[PayloadCapture, CapturedPayload]:
    names = {"key_id": key.pk, "key_name": str(key.name)}
    until = timezone.now() + timedelta(hours=1)
    capture = PayloadCapture.objects.create(**names, reason=f"to see what is {word}", started_by="boss", ends_at=until)
    bodies = {f"{side}_body": crypto.encrypt_bytes(f"said {word}".encode()) for side in ("request", "response")}
    lengths = {"request_bytes": 9, "response_bytes": 9, "captured_at": timezone.now()}
    return capture, CapturedPayload.objects.create(call_id=call.pk, capture=capture, **names, **bodies, **lengths)


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    """Made once for all tests here: what one changes is undone after it."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield made_world()
        transaction.set_rollback(True)


def made_world() -> World:
    made = World()
    for word, team, owner, end_user in (("ours", "red", "ro", "rick"), ("theirs", "blue", "bo", "eve")):
        made.rows[Team] = Team.objects.create(team_id=team, alias=f"team {word}", rpm_limit=60)
        made.rows[Owner] = Owner.objects.create(user_id=owner, alias=f"owner {word}", email=f"{word}@example.com")
        made.rows[EndUser] = EndUser.objects.create(end_user_id=end_user, alias=f"person {word}")
        key, _ = VirtualKey.objects.issue(name=f"key {word}", team_id=team, user_id=owner)
        made.rows[VirtualKey] = key
        made.rows[RequestLog] = call = a_call(team, key, word, user_id=owner, end_user=end_user)
        made.rows[PayloadCapture], made.rows[CapturedPayload] = captured(key, call, word)
    soon = timezone.now() + timedelta(days=2)
    manager = {"key_type": "management", "endpoint_classes": [], "max_budget": 1, "expires_at": soon}
    VirtualKey.objects.issue(name="manager, theirs also in red", team_id="red", **manager)
    made.rows[Upstream] = Upstream.objects.create(name="gpu-1", url="http://127.0.0.1:9")
    made.rows[ModelAlias] = ModelAlias.objects.create(name="fast", stands_for="qwen")
    made.rows[Routing] = Routing.objects.first() or Routing.objects.create()
    made.rows[User] = boss = User.objects.create(username="boss theirs", is_superuser=True, is_staff=True)
    made.rows[Group] = Group.objects.create(name="a role of their own: theirs")
    TeamManager.objects.create(user=boss, team_id="blue")
    LogEntry.objects.log_actions(boss.pk, [made.rows[VirtualKey]], CHANGE, "changed what is theirs")
    return made


def browser_of(role: str) -> Client:
    person = User.objects.create(username="ada", is_staff=True)
    if role:
        person.groups.add(Group.objects.get_or_create(name=role)[0])
    if role == NOSY:
        every = Permission.objects.filter(content_type__app_label__in=["keys", "upstreams", "gateway"])
        Group.objects.get(name=NOSY).permissions.set(every)
    if role in {KEY_MANAGER, NOSY}:
        TeamManager.objects.create(user=person, team_id="red")
    return people.browser_of(person)


def patterns(resolver: URLResolver, place: str = "", name: str = "") -> Iterator[tuple[str, str, dict[str, Any]]]:
    for one in resolver.url_patterns:
        space = f"{name}{one.namespace}:" if isinstance(one, URLResolver) and one.namespace else name
        if isinstance(one, URLResolver):
            yield from patterns(one, place + str(one.pattern), space)
        elif isinstance(one, URLPattern) and place.startswith("admin/"):
            yield place + str(one.pattern), f"{name}{one.name}", dict(one.pattern.converters)


def addresses(world: World) -> list[str]:
    """Every address of the admin, about what is not the key manager's."""
    found = []
    for pattern, name, converters in patterns(get_resolver()):
        if name in LEAVE_OUT or pattern.startswith("admin/(?P<url>"):
            continue
        values = {argument: str(_value(world, name, pattern, argument)) for argument in converters}
        address = pattern
        for argument, converter in converters.items():
            written = [f"<{kind}:{argument}>" for kind in ("int", "path", "str", "slug", "uuid")] + [f"<{argument}>"]
            for one in written:
                address = address.replace(one, values[argument])
            assert converter
        if "(?P<app_label>" in address:
            found += [f"/admin/{label}/" for label in ("keys", "gateway", "upstreams", "auth")]
            continue
        assert not set("<>(") & set(address), f"{pattern}: say in _value what stands for its arguments"
        found.append(f"/{address}")
    return found


def _value(world: World, name: str, pattern: str, argument: str) -> Any:
    if argument in {"content_type_id", "form"}:
        return {"content_type_id": 1, "form": "csv"}[argument]
    known = world.ids()
    tables = {f"admin/{table._meta.app_label}/{table._meta.model_name}/": table for table in admin.site._registry}
    table = next((table for prefix, table in tables.items() if pattern.startswith(prefix)), None)
    if table is None:
        return known.get(argument, world.rows[VirtualKey].pk)
    assert table in world.rows, f"{table.__name__} has pages: make one that is not the key manager's, in world()"
    return world.rows[table].pk


def words(answer: Any) -> str:
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return content.decode(errors="replace")


def everything() -> dict[str, list[str]]:
    """All rows of all tables of ours, and of people, as they are stored."""
    left_out = {"LogEntry", "Session", "KeysVersion", "UpstreamsVersion", SignInAttempt.__name__}
    tables = [one._meta.db_table for one in apps.get_models() if one.__name__ not in left_out and one._meta.managed]
    with connection.cursor() as cursor:
        return {name: sorted(map(repr, cursor.execute(f'SELECT * FROM "{name}"').fetchall())) for name in tables}


def changed_by(
    browser: Client, address: str, sent: dict[str, Any], before: dict[str, list[Any]]
) -> tuple[Any, list[str]]:
    """The answer, and the tables whose rows are others than `before`, which is brought up to date."""
    written = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE", "REPLACE", "WITH")):
            written.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        answer = browser.post(address, sent)
    if not written:
        return answer, []
    after = everything()
    names = [name for name in before if before[name] != after[name]]
    before.update(after)
    return answer, names


SENT = {"post": "yes", "until": "30", "overlap": "0", "team_id": "blue", "alias": "taken", "name": "taken"}


def posts(world: World, address: str) -> Iterator[dict[str, Any]]:
    yield {**world.ids(), **SENT, "secret": [world.rows[VirtualKey].secret.pk]}
    for table, model_admin in admin.site._registry.items():
        if address == f"/admin/{table._meta.app_label}/{table._meta.model_name}/":
            actions = {"delete_selected", *(getattr(one, "__name__", one) for one in model_admin.actions or ())}
            selected = {"_selected_action": [world.rows[table].pk], "post": "yes", "until": "30", "select_across": "0"}
            yield from ({**selected, "action": action} for action in sorted(actions))


@pytest.mark.parametrize("role", [KEY_MANAGER, NOSY])
def test_who_manages_a_team_reads_nothing_of_another(world, role):
    browser, told = browser_of(role), []
    for address in addresses(world):
        # What one asks for is often shown again: the ids that are asked for do not hold the word.
        for query in ({}, world.ids()):
            answer = browser.get(address, query)
            shown = words(answer)
            found = SHOWN.search(shown)
            if found or answer.status_code >= 500:
                place = found.start() if found else 0
                told.append((address, bool(query), answer.status_code, shown[max(0, place - 120) : place + 40]))

    assert told == []


def test_the_walk_would_notice(world):
    browser = browser_of(OPERATOR)

    telling = (address for address in addresses(world) if SHOWN.search(words(browser.get(address))))
    assert len(list(islice(telling, 16))) == 16


def test_a_key_manager_still_sees_their_own(world):
    browser = browser_of(KEY_MANAGER)
    key = VirtualKey.objects.get(name="key ours")

    assert "key ours" in words(browser.get("/admin/keys/virtualkey/"))
    assert "key ours" in words(browser.get(f"/admin/keys/virtualkey/{key.pk}/change/"))
    assert "req-ours" in words(
        browser.get(f"/admin/gateway/requestlog/{RequestLog.objects.get(team_id='red').pk}/change/")
    )
    assert "team ours" in words(browser.get("/admin/keys/team/"))
    assert browser.get("/admin/").status_code == 200


def test_a_key_manager_searches_their_own_only(world):
    browser = browser_of(KEY_MANAGER)

    for place in ("/admin/keys/virtualkey/", "/admin/keys/team/", "/admin/gateway/requestlog/"):
        for words_asked in ("theirs", "their", world.rows[VirtualKey].secret.last_four):
            rows = browser.get(place, {"q": words_asked}).context["cl"].result_list
            assert list(rows) == [], (place, words_asked)


def test_a_key_manager_changes_nothing_of_others(world):
    browser, before, told = browser_of(KEY_MANAGER), everything(), []
    for address in addresses(world):
        for sent in posts(world, address):
            answer, changed = changed_by(browser, address, sent, before)
            if changed or answer.status_code >= 500 or SHOWN.search(words(answer)):
                told.append((address, sent, answer.status_code, changed))
            if answer.status_code in REFUSED:
                break

    assert told == []


def test_an_auditor_changes_nothing(world):
    browser, before, told = browser_of(AUDITOR), everything(), []
    for address in addresses(world):
        for sent in posts(world, address):
            answer, changed = changed_by(browser, address, sent, before)
            if changed or answer.status_code >= 500:
                told.append((address, sent, answer.status_code, changed))
            if answer.status_code in REFUSED:
                break

    assert told == []


def test_who_comes_by_an_address_alone_is_not_told_that_the_method_is_wrong(world):
    browser, before = undrawn(signed_in()), everything()
    led = {address: browser.get(address) for address in (*addresses(world), reverse("admin:logout"))}
    pages = {answer.headers["Location"] for answer in led.values() if answer.status_code == 302}

    assert [address for address, answer in led.items() if answer.status_code == 405] == []
    assert {browser.get(page).status_code for page in pages} == {200}  # and they are signed in after all that
    assert everything() == before


@pytest.mark.parametrize(
    "name", ["logout", "playground_key", "gateway_requestlog_columns", "upstreams_upstream_preview"]
)
def test_what_only_takes_a_post_is_refused_to_other_methods(name):
    assert signed_in().put(reverse(f"admin:{name}")).status_code == 405


def test_an_auditor_sees_every_list(world):
    browser = browser_of(AUDITOR)
    for table in set(admin.site._registry) - {PayloadCapture, CapturedPayload}:
        address = f"/admin/{table._meta.app_label}/{table._meta.model_name}/"
        assert browser.get(address).status_code in {200, 302}, address


@pytest.mark.parametrize("role", ["", OPERATOR])
def test_who_has_no_permission_for_people_reads_and_changes_none(world, role):
    browser, before = browser_of(role), everything()
    for address in addresses(world):
        if not address.startswith("/admin/auth/"):
            continue
        assert browser.get(address).status_code in {302, 403, 404}, address
        assert browser.post(address, {"post": "yes"}).status_code in {302, 403, 404}, address

    assert everything() == before


def test_who_has_no_role_reads_nothing(world):
    browser = browser_of("")

    assert [address for address in addresses(world) if SHOWN.search(words(browser.get(address)))] == []


def test_a_stranger_is_sent_to_the_log_in_page(world):
    open_to_all = {"/admin/login/", "/admin/oidc/start/", "/admin/oidc/callback/", "/admin/jsi18n/"}
    for address in addresses(world):
        answer = Client().get(address)
        if address not in open_to_all:
            assert answer.status_code == 302, address
            assert answer.headers["Location"].startswith("/admin/login/"), address
