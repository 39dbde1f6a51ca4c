"""The first steps on a gateway that has not relayed a call yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.urls import NoReverseMatch, reverse

from gateway.models import UsageHourTotal
from keys.models import VirtualKey
from keys.scope import visible_teams
from upstreams.models import Upstream


@dataclass(frozen=True, slots=True)
class Step:
    """One step, whether it is done, and where one does it ("" where this person may not)."""

    name: str
    text: str
    done: bool
    url: str = ""
    link: str = ""


def steps(user: Any) -> list[Step]:
    """The three steps; none once the gateway is in use, or for who may do none of them."""
    may = user.has_perm
    may_add = [may("upstreams.add_upstream"), may("keys.add_virtualkey")]
    if not any(may_add) or visible_teams(user) is not None or UsageHourTotal.objects.exists():
        return []
    has_upstream, has_key = Upstream.objects.exists(), VirtualKey.objects.exists()
    fallback = f"No upstream yet: calls go to {settings.UPSTREAM_BASE_FALLBACK}. Enter the address of your vLLM server."
    try:
        playground = reverse("admin:playground")
    except NoReverseMatch:
        playground = ""
    return [
        Step(
            "Add an upstream",
            "The gateway finds its models." if has_upstream else fallback,
            has_upstream,
            reverse("admin:upstreams_upstream_add") if may_add[0] else "",
            "Add an upstream",
        ),
        Step(
            "Issue a key",
            "Hand it to whoever is to call." if has_key else "No virtual key yet. Only a name is needed.",
            has_key,
            reverse("admin:keys_virtualkey_add") if may_add[1] else "",
            "Issue a key",
        ),
        Step(
            "Make a call",
            "With the snippet that comes with the key, or in the playground. This page then shows it.",
            done=False,
            url=playground if has_upstream else "",
            link="Open the playground",
        ),
    ]
