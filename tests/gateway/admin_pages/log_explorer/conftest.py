"""Somebody who may read the log, and nothing else."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.support.people import signed_in


@pytest.fixture
def admin() -> Client:
    return signed_in("gateway.view_requestlog")
