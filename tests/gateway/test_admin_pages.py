"""What people see who go astray in the admin, and what programs get at the same server."""

import pytest

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
