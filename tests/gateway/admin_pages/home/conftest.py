"""An admin whose first page remembers nothing of other tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client

from tests.gateway.admin_pages.home.page import forget
from tests.support.people import signed_in


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> Iterator[None]:
    forget()
    yield
    forget()


@pytest.fixture
def admin() -> Client:
    return signed_in()
