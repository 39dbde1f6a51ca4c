"""The page of the settings in force: for whom it is, and what it never shows."""

import pytest

from gateway import settings as settings_module
from gateway.environment import Environment
from tests.support.people import signed_in

pytestmark = pytest.mark.django_db


def _shown(admin, **asked):
    """The names of the settings that the page shows."""
    groups = admin.get("/admin/settings/", asked).context["groups"]
    return [line.names[0] for group in groups for line, is_found in group.lines if is_found]


def test_what_is_asked_for_is_found_by_name_value_and_meaning():
    admin = signed_in()
    assert _shown(admin, q="gateway_data_dir")[0] == "GATEWAY_DATA_DIR"
    assert "GATEWAY_DATA_DIR" in _shown(admin, q="where journal")
    assert _shown(admin, q="there is no such setting") == []


def test_only_those_that_were_changed(monkeypatch):
    readings = Environment({"HOST": "::1"})
    readings.text("HOST", default="0.0.0.0")
    readings.whole("PORT", default=4000, least=1, most=65535)
    monkeypatch.setattr(settings_module, "env", readings)
    admin = signed_in()
    assert _shown(admin, changed="1") == ["HOST"]
    assert _shown(admin, changed="1", q="PORT") == []
    assert _shown(admin) == ["HOST", "PORT"]


def test_a_file_is_shown_with_the_variable_that_names_it(monkeypatch, tmp_path):
    (tmp_path / "host").write_text("::1")
    readings = Environment({"HOST_FILE": str(tmp_path / "host")})
    readings.text("HOST", default="0.0.0.0")
    monkeypatch.setattr(settings_module, "env", readings)
    page = signed_in().get("/admin/settings/").content.decode()
    assert "HOST_FILE" in page
    assert str(tmp_path / "host") in page


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
