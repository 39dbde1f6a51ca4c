"""The page of the settings in force: for whom it is, and what it never shows."""

import pytest

from gateway import settings as settings_module
from tests.support.people import signed_in

pytestmark = pytest.mark.django_db


def test_it_shows_settings_checks_and_the_doctor():
    page = signed_in("gateway.view_settings_in_force").get("/admin/settings/").content.decode()
    for text in ("GATEWAY_DATA_DIR", "where the gateway keeps its journal", "gateway.W001", "Data directory"):
        assert text in page


def test_no_secret_is_on_it():
    page = signed_in().get("/admin/settings/").content.decode()
    secrets = [settings_module.SECRET_KEY, settings_module.MASTER_KEY, *settings_module.ENCRYPTION_KEYS]
    assert not [secret for secret in secrets if secret in page]
    assert "GATEWAY_MASTER_KEY" in page


def test_it_is_for_who_may_see_it():
    assert signed_in("keys.view_virtualkey").get("/admin/settings/").status_code == 403
