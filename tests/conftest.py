"""What holds for all tests, once Django is there; what comes before it is in plugin.py."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    from tests.support import emptying, migrated

    with django_db_blocker.unblock():
        emptying.remember_as_migrated()
        migrated.keep()
