"""An upstream's credential: written in its form, and shown nowhere."""

import pytest
from django.test import Client

from tests.support.people import signed_in, undrawn
from tests.upstreams.admin.pages import (
    ADD,
    INLINE,
    SECRET,
    an_upstream,
    deployment,
    history_of,
    messages_of,
    page_of,
    refused,
    save,
)

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("verb", ["change", "history", "delete"])
def test_the_credential_is_on_no_page(admin: Client, verb: str) -> None:
    upstream = an_upstream(credential=SECRET)
    save(admin, upstream, credential=SECRET + "-2")
    html = admin.get(page_of(upstream, verb)).content.decode()
    assert SECRET not in html
    assert upstream.credential.stored not in html


def test_a_refused_form_does_not_give_the_credential_back(admin: Client) -> None:
    response = save(admin, an_upstream(), credential=SECRET, url="nonsense")
    assert response.status_code == 200
    assert "http://" in response.context["adminform"].form.errors["url"][0]
    assert 'value="nonsense"' in response.content.decode()
    assert SECRET not in response.content.decode()


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"url": "nonsense"}, {**INLINE, "deployments-TOTAL_FORMS": 1, **deployment(weight=-1)}]
)
def test_a_refused_form_asks_for_the_credential_again(admin: Client, wrong: dict[str, object]) -> None:
    upstream = an_upstream(credential=SECRET)
    assert "Enter the credential once more" in save(admin, upstream, credential="another", **wrong).content.decode()
    assert "once more" not in save(admin, upstream, **wrong).content.decode()


def test_a_new_upstream_whose_form_is_refused_asks_for_the_credential_again(admin: Client) -> None:
    an_upstream()
    response = admin.post(ADD, {"name": "gpu-1", "url": "http://gpu-2:8000", "credential": SECRET, "state": "active"})
    form = response.context["adminform"].form
    assert set(form.errors) == {"name", "credential"}
    assert "correct the errors below" in response.content.decode()
    assert SECRET not in response.content.decode()


def test_an_empty_credential_keeps_the_stored_one(admin: Client) -> None:
    upstream = an_upstream(credential=SECRET)
    save(admin, upstream, name="gpu-2", credential="")
    assert (upstream.name, upstream.credential.reveal()) == ("gpu-2", SECRET)


def test_a_new_credential_replaces_the_stored_one(admin: Client) -> None:
    upstream = an_upstream(credential=SECRET)
    save(admin, upstream, credential="another")
    assert upstream.credential.reveal() == "another"
    assert history_of(upstream) == ["Changed Credential."]


def test_the_checkbox_clears_the_stored_credential(admin: Client) -> None:
    upstream = an_upstream(credential=SECRET)
    save(admin, upstream, clear_credential="on")
    assert not upstream.credential


def test_a_new_credential_and_clearing_contradict_each_other(admin: Client) -> None:
    upstream = an_upstream(credential=SECRET)
    response = save(undrawn(admin), upstream, credential="another", clear_credential="on")
    assert response.context_data["adminform"].form.non_field_errors()
    assert upstream.credential.reveal() == SECRET


def test_a_credential_that_no_header_can_carry_is_refused() -> None:
    assert "credential" in refused(an_upstream(), credential="two words")


def test_another_host_clears_the_credential_and_says_so(admin: Client) -> None:
    upstream = an_upstream(credential=SECRET)
    response = save(admin, upstream, url="http://elsewhere:8000")
    assert not upstream.credential
    assert any("credential was cleared" in message for message in messages_of(response))


def test_another_host_with_its_credential_is_stored_silently(admin: Client) -> None:
    upstream = an_upstream(credential=SECRET)
    response = save(admin, upstream, url="http://elsewhere:8000", credential="another")
    assert upstream.credential.reveal() == "another"
    assert len(messages_of(response)) == 1


def test_viewers_see_neither_the_credential_nor_a_button() -> None:
    html = signed_in("upstreams.view_upstream").get(page_of(an_upstream(credential=SECRET))).content.decode()
    assert "credential" not in html.lower()
    assert "/check/" not in html
