"""Somebody who may do everything with upstreams."""

import pytest
from django.test import Client

from tests.support.people import signed_in


@pytest.fixture
def admin() -> Client:
    return signed_in()
