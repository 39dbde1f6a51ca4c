"""What the page of one call tells: why it went as it did, when what happened, what it used and cost, who made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from common.admin import DASH, duration, figure, moment
from gateway.account.decisions import BY_NAME
from gateway.admin_pages.cause import Cause
from gateway.admin_pages.causes import cause_of
from gateway.admin_pages.log_chain import chain_of
from gateway.admin_pages.log_columns import cost_words, result_badge
from gateway.admin_pages.log_cost import CostLine, cost_lines
from gateway.admin_pages.log_curl import repeat_of
from gateway.admin_pages.log_facts import Facts
from gateway.admin_pages.log_parties import CallParty, parties_of
from gateway.admin_pages.settings import PERMISSION
from gateway.admin_pages.timeline import WIDTH, Bar, drawn, stretches_of
from gateway.admin_pages.traffic import logs_url_with
from gateway.faces import VLLM
from gateway.models import RequestLog
from keys.limit_words import limit_word
from keys.scope import visible_teams
from upstreams.models import Upstream

DEFAULT_PREFIX = VLLM.prefix
"""Older rows do not tell by which face a call came in; this one takes every route."""

FIRST_BYTE = "Until the first byte"
"""Of a call that was no stream of tokens: what the timeline calls the stretch before its answer began."""

SOURCE_WORDS = {
    "reported": "as the upstream reported them",
    "estimated": "estimated from the chunks, because the answer was not read to its end",
    "unknown": "not known",
    "none": "no tokens were counted",
}


def details_of(request: HttpRequest, call: RequestLog) -> dict[str, Any]:
    """The template's context."""
    parties = {party.kind: party for party in parties_of(request, call)}
    cause = cause_of(call.outcome, call.status, call.error_type, call.error_text)
    facts = Facts(call.decisions, sees_all=visible_teams(request.user) is None)
    return {
        "chain": chain_of(call, facts),
        "has_facts": bool(facts),
        "cost_lines": _cost_lines(call, facts),
        "repeat": repeat_of(
            request,
            call,
            facts.text("prefix") if facts else DEFAULT_PREFIX,
            names_upstream=facts.text("way") == BY_NAME,
        ),
        "title": f"Call {call.request_id}",
        "subtitle": None,
        "result": result_badge(call),
        "received": moment(call.received_at),
        "cause": cause,
        "remedy": None if cause is None else remedy_of(request, call, cause, parties),
        "parties": list(parties.values()),
        "shadowed": [limit_word(name) for name in call.shadowed],
        "bars": [
            (bar, duration(bar.length_ms, fine=True), duration(bar.start_ms, fine=True)) for bar in _bars(call, facts)
        ],
        "bar_width": WIDTH,
        "took": _took(call, facts),
        "endpoint_class": (call.endpoint_class or DASH).replace("_", " "),
        "attempts": figure(call.attempts, "upstream" if call.attempts == 1 else "upstreams"),
        "waited": "" if call.queue_ms is None else duration(call.queue_ms),
        "ttft": duration(call.ttft_ms),
        "inter_token": duration(call.inter_token_ms, fine=True),
        "token_figures": _token_figures(call),
        "source": SOURCE_WORDS.get(call.usage_source, call.usage_source),
        "cost": cost_words(call.cost),
        "bytes_in": figure(call.bytes_in, "bytes"),
        "bytes_out": figure(call.bytes_out, "bytes"),
        "upstream_exists": _exists(call.upstream_id),
        "alike": {
            "error_type": logs_url_with(request, error_type=call.error_type or ""),
            "route": logs_url_with(request, route=call.route),
        },
    }


def remedy_of(
    request: HttpRequest, call: RequestLog, cause: Cause, parties: Mapping[str, CallParty]
) -> tuple[str, str] | None:
    """Where the cause is mended, as far as the viewer may go there: the address, and what it is."""
    party = parties.get(cause.whose)
    if party is not None and party.page:
        return party.page, f"Open the {party.noun}"
    if cause.place == "settings" and request.user.has_perm(PERMISSION):
        return reverse("admin:settings"), "Open the settings in force"
    if cause.place and request.user.has_perm("upstreams.view_upstream"):
        if cause.place == "upstream" and _exists(call.upstream_id):
            return reverse("admin:upstreams_upstream_change", args=[call.upstream_id]), "Open the upstream"
        return reverse("admin:upstreams_upstream_changelist"), "Open the upstreams"
    return None


def _exists(upstream_id: int | None) -> bool:
    return upstream_id is not None and Upstream.objects.filter(pk=upstream_id).exists()


def _bars(call: RequestLog, facts: Facts) -> list[Bar]:
    moments = [(moment.name, moment.offset_ms) for moment in call.timeline]
    stretches = stretches_of(moments, facts.at, facts.tried, call.queue_ms)
    if call.ttft_ms is None:  # what came first was no token of a stream: the whole answer, or an error
        stretches = [replace(one, name=FIRST_BYTE) if one.kind == "first token" else one for one in stretches]
    return drawn(stretches)


def _took(call: RequestLog, facts: Facts) -> str:
    """The length of the timeline. Older rows count from when the key had been found; their timelines begin before."""
    return (
        DASH
        if call.duration_ms is None
        else duration(call.duration_ms - min(0.0, facts.at.get("began", 0.0)), fine=True)
    )


def _cost_lines(call: RequestLog, facts: Facts) -> list[tuple[CostLine, str]]:
    if call.cost is None:
        return []
    seconds = None if call.duration_ms is None else call.duration_ms / 1000
    lines = cost_lines(
        facts.prices,
        prompt=call.prompt_tokens,
        completion=call.completion_tokens,
        cached=call.cached_tokens,
        seconds=seconds,
    )
    return [(line, cost_words(line.amount)) for line in lines]


def _token_figures(call: RequestLog) -> list[tuple[str, str]]:
    figures = (
        ("Prompt", call.prompt_tokens),
        ("of these cached", call.cached_tokens),
        ("Completion", call.completion_tokens),
        ("of these reasoning", call.reasoning_tokens),
    )
    return [(name, figure(number)) for name, number in figures if number is not None]
