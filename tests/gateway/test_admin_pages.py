"""What people see who go astray in the admin, and what programs get at the same server."""

import json

import pytest
from django.test import Client

from gateway.error_handler import forbidden
from tests.support.people import signed_in


@pytest.mark.django_db
def test_a_person_in_the_admin_gets_a_page_for_a_wrong_address():
    response = signed_in().get("/admin/nowhere/")
    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")
    assert b"vLLM Gateway" in response.content


@pytest.mark.django_db
def test_a_program_gets_the_error_shape_for_a_wrong_address(client):
    response = client.get("/key/nowhere")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "404"


@pytest.mark.django_db
def test_a_person_who_may_not_do_it_gets_a_page_with_their_own_navigation():
    response = signed_in("keys.view_team").get("/admin/keys/virtualkey/")
    assert response.status_code == 403
    page = response.content.decode()
    assert "You may not do this" in page
    assert "Teams" in page


def test_a_program_that_may_not_do_it_gets_the_error_shape(rf):
    response = forbidden(rf.get("/nowhere"))
    assert response.status_code == 403
    assert json.loads(response.content)["error"]["code"] == "403"


def test_a_form_without_its_token_gets_a_page_that_says_what_to_do():
    response = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "ada"})
    assert response.status_code == 403
    assert b"This form was not accepted" in response.content


@pytest.mark.django_db
def test_a_list_has_its_filters_beside_its_search():
    page = signed_in().get("/admin/auth/user/?is_active__exact=1&q=ada").content.decode()
    assert "Clear filters" in page
    assert "data-active" in page
