"""What no test needs, and would be done thousands of times over."""

from __future__ import annotations

import gc
from typing import Any

import pytest

# The collector looks between tests, and rarely: of what is made until they begin nothing is garbage, and of what they
# leave little holds itself. A look takes most of a second, which no test should find in what it measures.
MANY_OBJECTS = 1_000_000
gc.set_threshold(5 * MANY_OBJECTS, 50, 1_000)

MARKED = {
    "_django_db_marker": "django_db",
    "_django_isolate_apps": "django_isolate_apps",
    "_django_set_urlconf": "urls",
    "_template_string_if_invalid_marker": "ignore_template_errors",
}
"""Fixtures that pytest-django gives every test, and the marker without which they do nothing."""
NEVER = {
    "_dj_autoclear_mailbox",
    "_django_clear_site_cache",
    "_django_setup_unittest",
    "_fail_for_invalid_template_variable",
    "_live_server_helper",
}
"""Others of its fixtures: no test here sends mail, has sites, is a TestCase of Django's or asks for its server."""


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    """Once Django is there."""
    from tests.support import django_savings, emptying, migrated

    django_savings.begin()
    emptying.empty_quickly()
    migrated.begin_with_what_is_kept()
    _ask_no_function_without_arguments()


def _ask_no_function_without_arguments() -> None:
    """For each test pytest asks its own `lambda: request` which fixtures it needs, by its signature."""
    from _pytest import fixtures

    named = fixtures.getfuncargnames

    def names(function: Any, **kwargs: Any) -> tuple[str, ...]:
        code = getattr(function, "__code__", None)
        plain = code is not None and not code.co_argcount and not code.co_kwonlyargcount
        return () if plain and not hasattr(function, "__wrapped__") else named(function, **kwargs)

    fixtures.getfuncargnames = names


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        needless = NEVER | {name for name, marker in MARKED.items() if item.get_closest_marker(marker) is None}
        item.fixturenames = [name for name in item.fixturenames if name not in needless]


def pytest_collection_finish() -> None:
    """What was imported stays: the collector need not look through it again."""
    if gc.isenabled():
        gc.collect()
    gc.freeze()


def pytest_runtest_logfinish() -> None:
    if gc.isenabled() and gc.get_count()[0] > MANY_OBJECTS:
        gc.collect(1)


def pytest_sessionfinish() -> None:
    """Where nothing is collected, pytest's own looks at the end find nothing either."""
    if not gc.isenabled():
        gc.freeze()
