"""The system checks of the gateway, each with its id."""

import pytest
from django.core.checks import run_checks

from gateway.checks import check_deployment, check_redis, check_workers

PRODUCTION = {
    "ALLOWED_HOSTS": ["gateway.example.com"],
    "PUBLIC_URL": "https://gateway.example.com",
    "REQUIRE_KEYS": True,
    "ALLOW_WEAK_MASTER_KEY": False,
    "EMBEDDED": False,
    "TRUSTED_PROXIES": ["10.0.0.0/8"],
    "SECRET_KEY": "tests-only-secret-key-that-is-long-enough-for-django-to-like-it",
}


@pytest.fixture
def production(settings):
    for name, value in PRODUCTION.items():
        setattr(settings, name, value)
    return settings


def test_sqlite_allows_one_relay_worker_only(settings):
    settings.EMBEDDED, settings.RELAY_WORKERS = True, 2
    (error,) = check_workers()
    assert error.id == "gateway.E001"
    assert "DATABASE_URL" in error.hint


def test_postgresql_allows_many_relay_workers(settings):
    settings.EMBEDDED, settings.RELAY_WORKERS = False, 2
    assert check_workers() == []


@pytest.mark.parametrize(("embedded", "url", "ids"), [(True, "redis://r", ["gateway.E002"]), (True, "", [])])
def test_redis_counts_with_postgresql_only(settings, embedded, url, ids):
    settings.EMBEDDED, settings.REDIS_URL = embedded, url
    assert [error.id for error in check_redis()] == ids
    settings.EMBEDDED = False
    assert check_redis() == []


def test_production_settings_are_clean(production):
    assert check_deployment() == []


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("ALLOWED_HOSTS", ["*"], "gateway.W001"),
        ("PUBLIC_URL", "http://gateway.example.com", "gateway.W002"),
        ("REQUIRE_KEYS", False, "gateway.W003"),
        ("ALLOW_WEAK_MASTER_KEY", True, "gateway.W004"),
        ("EMBEDDED", True, "gateway.W005"),
        ("TRUSTED_PROXIES", [], "gateway.W006"),
        ("SECRET_KEY", "short", "gateway.W007"),
        ("SECRET_KEY", "abab" * 20, "gateway.W007"),
    ],
)
def test_each_loose_setting_is_named_with_its_remedy(production, name, value, code):
    setattr(production, name, value)
    (warning,) = check_deployment()
    assert warning.id == code
    assert warning.hint


def test_deployment_is_checked_by_check_deploy_only():
    plain = {message.id for message in run_checks()}
    deploy = {message.id for message in run_checks(include_deployment_checks=True)}
    assert "gateway.W001" in deploy - plain
