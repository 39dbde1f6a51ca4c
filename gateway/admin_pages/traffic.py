"""How the traffic of a key, a team or an upstream is told on their pages, and the way from there to its calls."""

from __future__ import annotations

from collections.abc import Mapping

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from common.admin import figure
from gateway.account.endings import failed_of


def number(count: int) -> SafeString:
    """A figure in a column of figures."""
    return format_html('<span class="number">{}</span>', figure(count))


def calls_and_tokens(usage: Mapping[str, int]) -> SafeString:
    tokens = usage["prompt_tokens"] + usage["completion_tokens"]
    told = figure(tokens, "tokens") if tokens else ""
    return format_html('{}<span class="under number">{}</span>', number(usage["calls"]), told)


def figures(usage: Mapping[str, int]) -> list[tuple[str, str]]:
    """The traffic of a day, for a row's page."""
    return [
        ("Calls, 24 h", figure(usage["calls"])),
        ("Failed, 24 h", figure(failed_of(usage["errors"], usage["refused"], usage["cut"]))),
        ("Refused, 24 h", figure(usage["refused"])),
        ("Cut, 24 h", figure(usage["cut"])),
        ("Prompt tokens, 24 h", figure(usage["prompt_tokens"])),
        ("Completion tokens, 24 h", figure(usage["completion_tokens"])),
    ]


def logs_url_with(request: HttpRequest, **filters: str) -> str:
    """The request log with these filters; empty for who may not see it."""
    if not request.user.has_perm("gateway.view_requestlog"):
        return ""
    return f"{reverse('admin:gateway_requestlog_changelist')}?{urlencode(filters)}"
