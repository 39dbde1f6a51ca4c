from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from common.money import units
from gateway.account.log_store import LogStore
from gateway.holder_pages.visit import LONGEST, SESSION_KEY
from keys.models import Owner, Team, VirtualKey
from keys.spending import start_with
from people.models import SignInAttempt
from tests.support.entries import an_entry
from tests.support.people import signed_in

pytestmark = pytest.mark.django_db
URL = "/me/"


def issued(name: str = "mine", **fields: Any) -> tuple[VirtualKey, str]:
    return VirtualKey.objects.issue(name=name, **fields)


def opened(secret: str, client: Client | None = None) -> Client:
    client = client or Client()
    response = client.post(URL, {"secret": secret})
    assert (response.status_code, response["Location"]) == (302, URL)
    return client


def page(client: Client) -> str:
    text: str = client.get(URL).content.decode()
    return text


def calls(*entries: dict[str, Any]) -> None:
    LogStore().store(list(entries), pytest.fail)


def call(**fields: Any) -> dict[str, Any]:
    return an_entry(at=time.time() - 60, **fields)


def test_it_works() -> None:
    key, secret = issued(models=["qwen-*"], rpm_limit=60, max_budget="10", budget_duration="30d")
    calls(call(key_id=key.pk, model="qwen-7b", cost="2.5", spend=[]))
    shown = page(opened(secret))
    assert all(text in shown for text in ("mine", "qwen-*", "60", "10.00", "2.50", "qwen-7b", "YOUR_KEY"))
    assert 'data-chart="holder-usage-data"' in shown
    assert '"dates": "day"' in shown


def test_without_a_key_it_asks_for_one() -> None:
    response = Client().get(URL)
    assert response.status_code == 200
    assert 'name="secret"' in response.content.decode()
    assert "no-store" in response["Cache-Control"]


def test_the_session_has_ids_and_never_the_secret() -> None:
    key, secret = issued()
    client = opened(secret)
    kept = client.session[SESSION_KEY]
    assert kept["key"] == key.pk
    assert secret not in str(dict(client.session.items()))
    assert secret not in page(client)


def test_a_secret_in_the_address_opens_nothing() -> None:
    _, secret = issued()
    assert 'name="secret"' in Client().get(URL, {"secret": secret}).content.decode()


def test_the_session_is_another_one_after_the_key() -> None:
    _, secret = issued()
    client = signed_in()
    before = client.session.session_key
    opened(secret, client)
    assert client.session.session_key != before
    assert client.get("/admin/").status_code == 200


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("", "Paste your key first."),
        ("hello", "a virtual key is expected"),
        ("sk-unknown-0123456789", "Invalid API key"),
        ("x" * 700, "too long to be a key"),
    ],
)
def test_what_is_no_key_is_refused_in_a_sentence(secret: str, said: str) -> None:
    response = Client().post(URL, {"secret": secret})
    assert response.status_code == 403
    assert said in response.content.decode()
    assert not secret or f'value="{secret}"' not in response.content.decode()


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        ("blocked", "This key is blocked: no call with it is answered. Ask"),
        ("expired", "This key has expired, on 2026-01-31 12:00 UTC. Ask"),
        ("replaced", "The key has been given another secret, and this one ended on 2026-01-31 12:00 UTC. Ask"),
    ],
)
def test_a_key_that_calls_no_more_is_told_of_in_words(ending: str, said: str) -> None:
    key, secret = issued()
    over = datetime(2026, 1, 31, 12, tzinfo=UTC)
    if ending == "blocked":
        key.block()
    elif ending == "expired":
        VirtualKey.objects.filter(pk=key.pk).update(expires_at=over)
    else:
        key.secrets.update(expires_at=over)
    shown = Client().post(URL, {"secret": secret}).content.decode()
    assert said in shown
    assert "Authentication Error" not in shown
    assert "/key/" not in shown


def test_the_master_key_has_no_page() -> None:
    response = Client().post(URL, {"secret": settings.MASTER_KEY})
    assert "The master key has neither limits nor usage" in response.content.decode()


def test_without_required_keys_a_stranger_still_has_no_page(settings: Any) -> None:
    settings.REQUIRE_KEYS = False
    assert Client().post(URL, {"secret": "sk-unknown-0123456789"}).status_code == 403


def test_the_form_is_guarded_against_other_sites() -> None:
    _, secret = issued()
    client = Client(enforce_csrf_checks=True)
    assert client.post(URL, {"secret": secret}).status_code == 403
    assert SESSION_KEY not in client.session


def test_who_guesses_is_slowed_down() -> None:
    _, secret = issued()
    client = Client()
    for _ in range(5):
        client.post(URL, {"secret": "sk-unknown-0123456789"})
    response = client.post(URL, {"secret": secret})
    assert "Too many attempts" in response.content.decode()
    elsewhere = Client(REMOTE_ADDR="203.0.113.9")
    opened(secret, elsewhere)  # nobody else is held up


def test_who_has_a_key_is_not_slowed_down() -> None:
    _, secret = issued()
    for _ in range(7):
        opened(secret)
    assert not SignInAttempt.objects.filter(succeeded=False).exists()


# --- How it ends


def test_it_ends_when_the_key_is_blocked() -> None:
    key, secret = issued()
    client = opened(secret)
    key.block()
    assert "This key is blocked: no call with it is answered. Ask whoever gave it to you" in page(client)
    assert SESSION_KEY not in client.session
    key.unblock()
    assert 'name="secret"' in page(client)  # it does not come back by itself


@pytest.mark.parametrize("ending", ["expired", "deleted", "rotated"])
def test_it_ends_with_the_key_or_the_secret(ending: str) -> None:
    key, secret = issued()
    client = opened(secret)
    if ending == "expired":
        key.expires_at = timezone.now() - timedelta(seconds=1)
        key.save()
    elif ending == "deleted":
        key.delete()
    else:
        key.rotate(timedelta(0))
    shown = page(client)
    assert ("This key has expired, on" if ending == "expired" else "is not there any more") in shown
    assert SESSION_KEY not in client.session


def test_it_ends_after_an_hour() -> None:
    _, secret = issued()
    client = opened(secret)
    session = client.session
    session[SESSION_KEY] = {**session[SESSION_KEY], "at": time.time() - LONGEST - 1}
    session.save()
    assert "open for an hour" in page(client)


def test_it_can_be_closed_and_leaves_the_admin_open() -> None:
    _, secret = issued()
    client = opened(secret, signed_in())
    assert client.post(f"{URL}close/").status_code == 302
    assert 'name="secret"' in page(client)
    assert client.get("/admin/").status_code == 200
    assert client.get(f"{URL}close/").status_code == 405


# --- Nobody sees another's facts


def test_no_other_key_is_told_of() -> None:
    Team.objects.create(team_id="shared", alias="Shared team")
    mine, secret = issued("mine", team_id="shared")
    other, _ = issued("other-key", team_id="shared", rpm_limit=4_321, models=["secret-model"])
    calls(
        call(key_id=mine.pk, model="my-model"),
        call(key_id=other.pk, key_name="other-key", model="secret-model", status=500, error_text="other's error",
             user_id="other-owner", request_id="other-request"),
    )  # fmt: skip
    shown = page(opened(secret))
    assert "my-model" in shown
    secrets = ("other-key", "4,321", "secret-model", "other's error", "other-owner", "other-request")
    assert not any(text in shown for text in secrets)


def test_a_session_of_one_key_cannot_name_another() -> None:
    _, secret = issued("mine")
    other, _ = issued("other-key")
    client = opened(secret)
    for query in ({"key": other.pk}, {"key_id": other.pk}, {"id": other.pk}):
        assert "other-key" not in client.get(URL, query).content.decode()
    session = client.session
    session[SESSION_KEY] = {**session[SESSION_KEY], "key": other.pk}  # a secret of one key, the id of another
    session.save()
    assert "other-key" not in page(client)


def test_the_next_key_takes_the_place_of_the_first() -> None:
    _, first = issued("first-key")
    _, second = issued("second-key")
    client = opened(second, opened(first))
    assert "second-key" in page(client)
    assert "first-key" not in page(client)


def test_an_admins_session_opens_no_key() -> None:
    issued("mine")
    assert "mine" not in page(signed_in())


def test_a_key_opens_nothing_of_the_admin() -> None:
    _, secret = issued()
    assert opened(secret).get("/admin/").status_code == 302


# --- What it shows


def test_errors_are_explained() -> None:
    key, secret = issued()
    calls(call(key_id=key.pk, status=429, outcome="refused", error_type="throttling_error", error_text="Too fast."))
    shown = page(opened(secret))
    assert "Too fast." in shown
    assert "You can mend it" in shown


def test_what_blocks_its_team_or_owner_is_told_in_words() -> None:
    Team.objects.create(team_id="blue", alias="Blue", blocked=True)
    Owner.objects.create(user_id="ann", blocked=True)
    _, secret = issued(team_id="blue", user_id="ann")
    shown = page(opened(secret))
    assert "The team Blue is blocked: no call with this key is answered. An admin can unblock the team" in shown
    assert "The owner ann is blocked" in shown
    assert "Authentication Error" not in shown


def test_without_a_block_there_is_no_word_of_one() -> None:
    Team.objects.create(team_id="blue", alias="Blue")
    _, secret = issued(team_id="blue")
    assert "locked" not in page(opened(secret))


def test_what_was_spent_of_team_and_owner_is_told_where_something_was_counted() -> None:
    team = Team.objects.create(team_id="blue", alias="Blue")
    Owner.objects.create(user_id="ann", alias="Ann")
    _, secret = issued(team_id="blue", user_id="ann")
    client = opened(secret)
    assert "This key has spent" in page(client)
    assert "The team Blue has spent" not in page(client)
    start_with(team, units(Decimal("2.5")))
    assert re.search(r"The team Blue has spent <[^>]+>2\.50 ", page(client))
    assert "The owner Ann has spent" not in page(client)


def test_what_was_spent_is_never_nothing_where_it_is_little() -> None:
    key, secret = issued()
    start_with(key, units(Decimal("0.004")))
    assert re.search(r"This key has spent less than <[^>]+>0\.01 ", page(opened(secret)))


def test_a_spent_budget_is_marked() -> None:
    _, secret = issued(max_budget="0", budget_duration="1d", shadow_limits=["max_budget"])
    shown = page(opened(secret))
    assert "counted, refuses nothing" in shown
    assert "badge-bad" in shown


def test_a_new_key_says_what_to_do() -> None:
    _, secret = issued()
    shown = page(opened(secret))
    assert "Nothing limits this key." in shown
    assert "No calls yet" in shown
    assert "Every call of this key was answered." in shown


def test_programs_still_get_json() -> None:
    _, secret = issued()
    response = Client().get("/me", headers={"authorization": f"Bearer {secret}"})
    assert response.json()["key"]["key_alias"] == "mine"


def test_a_browser_is_led_to_the_page_and_a_program_is_not() -> None:
    browser = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    assert Client().get("/me", headers=browser)["Location"] == URL
    assert Client().get("/me").status_code == 401
    _, secret = issued()
    assert Client().get("/me", headers={**browser, "authorization": f"Bearer {secret}"}).json()["key"]["key_alias"]


def test_it_obeys_the_policy_of_the_site() -> None:
    _, secret = issued(rpm_limit=3, max_budget="1")
    client = opened(secret)
    response = client.get(URL)
    assert "unsafe" not in response["Content-Security-Policy"]
    shown = response.content.decode()
    assert "style=" not in shown
    assert "<script>" not in shown
