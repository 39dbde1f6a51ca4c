"""The forms of who may only look: the form's own words and units."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.test import Client

from keys.models import VirtualKey
from tests.support.people import signed_in
from upstreams.models import Deployment, Upstream

pytestmark = pytest.mark.django_db


def text(client: Client, url: str) -> str:
    html = client.get(url).content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html[html.index('<div id="content"') :])).replace("&quot;", '"')


def test_a_key_s_settings_are_told_as_its_form_asks_for_them() -> None:
    key = VirtualKey.objects.issue(
        name="dev",
        models=["qwen", "tiny-*"],
        max_budget=Decimal("1.3"),
        budget_duration="1mo",
        expires_at=datetime(2099, 11, 22, 10, 12, tzinfo=UTC),
        aliases={"fast": "qwen"},
        metadata={"tags": ["a"]},
    )[0]
    url = f"/admin/keys/virtualkey/{key.pk}/change/"
    told = text(signed_in("keys.view_virtualkey"), url)
    settings = told[told.index(" Settings ") :]
    for words in (
        "2099-11-22 10:12:00 UTC",
        " 1.3 ",
        "qwen, tiny-*",
        "fast: qwen",
        'tags: ["a"]',
        "inference, monitoring",
        "Every month, on the first",
        "Expires at 2099",
    ):
        assert words in settings, words
    for raw in ("a.m.", "1.30000000", "1mo", '["my-model"]'):
        assert raw not in settings, raw


def test_a_deployment_s_prices_have_their_unit() -> None:
    upstream = Upstream.objects.create(name="gpu-1", url="http://gpu-1:8000")
    Deployment.objects.create(upstream=upstream, alias="qwen", input_cost_per_token=Decimal("0.0000024"))
    told = text(
        signed_in("upstreams.view_upstream", "upstreams.view_deployment"),
        f"/admin/upstreams/upstream/{upstream.pk}/change/",
    )
    assert "Prompt $/M" in told
    assert " 2.4 " in told
    assert "0.0000024" not in told
    assert " No " in told
