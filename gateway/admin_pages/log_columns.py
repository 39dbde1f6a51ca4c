"""The columns of the request log's list: what each shows of a call, and which of them a person wants to see.

The choice is kept in a cookie of its own for each person, so that it outlives the session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from django.contrib import admin
from django.http import HttpRequest, HttpResponseBase
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from common.admin import BAD, DASH, GOOD, QUIET, WARNING, badge, duration, figure, moment
from gateway.account.endings import Ending, ending_of
from gateway.account.entry import Outcome
from gateway.admin_pages.causes import in_short
from gateway.models import RequestLog
from keys.limit_words import limit_word

COOKIE_SECONDS = 365 * 86_400
_SEPARATOR = "."

_KINDS = {Ending.ANSWERED: GOOD, Ending.FAILED: BAD, Ending.REFUSED: WARNING, Ending.CUT: WARNING}

Cell = Callable[[RequestLog], SafeString | str]


class Column(NamedTuple):
    """One that can be chosen."""

    name: str
    words: str
    cell: Cell
    is_usual: bool


def result_badge(call: RequestLog) -> SafeString:
    """Status, and how the call counts, in one label; the cause says more. A client that left got no whole answer."""
    ending = ending_of(call.outcome, call.status)
    has_left = ending is Ending.ANSWERED and call.outcome == Outcome.CLIENT_DISCONNECTED
    words = "client left" if has_left else ending.value
    return badge(QUIET if has_left else _KINDS[ending], f"{call.status} {words}" if call.status else words)


def _result(call: RequestLog) -> SafeString:
    why = in_short(call.outcome, call.status, call.error_type, call.error_text)
    return format_html('{}<span class="under">{}</span>', result_badge(call), why)


def _model(call: RequestLog) -> SafeString:
    return format_html('{}<span class="under mono">{}</span>', call.model or DASH, _path(call))


def _upstream(call: RequestLog) -> SafeString | str:
    if call.upstream_name:
        return str(call.upstream_name)
    return format_html('<span class="quiet">{}</span>', "not sent" if call.outcome == Outcome.REFUSED else DASH)


def _route(call: RequestLog) -> SafeString:
    return format_html('<span class="mono">{}</span>', _path(call))


def _path(call: RequestLog) -> str:
    return call.route if call.method == "POST" else f"{call.method} {call.route}"


def _error_type(call: RequestLog) -> SafeString | str:
    """It leads to the calls that have the same."""
    if not call.error_type:
        return DASH
    query = urlencode({"error_type": call.error_type})
    return format_html('<a class="badge badge-code" href="?{}">{}</a>', query, call.error_type)


def _served(call: RequestLog) -> str:
    return call.served_model or DASH


def _tokens(call: RequestLog) -> SafeString | str:
    if call.total_tokens is None:
        return DASH
    about = "≈ " if call.usage_source == "estimated" else ""
    return format_html(
        '<span class="number">{}{} → {}</span>', about, figure(call.prompt_tokens), figure(call.completion_tokens)
    )


def cost_words(cost: Any) -> str:
    """An amount of US dollars with as many digits as it needs, a dash when it is not known."""
    if cost is None:
        return DASH
    return f"${cost:,.2f}" if cost >= 1 or not cost else f"${cost:.6f}".rstrip("0")


def _number(text: str) -> SafeString | str:
    return text if text == DASH else format_html('<span class="number">{}</span>', text)


def _labels(words: Iterable[str]) -> SafeString | str:
    return format_html_join("", '<span class="badge badge-quiet">{}</span> ', ((word,) for word in words)) or DASH


def _mono(text: str | None) -> SafeString | str:
    return format_html('<span class="mono">{}</span>', text) if text else DASH


def _seconds(milliseconds: float | None) -> SafeString | str:
    return _number(duration(milliseconds))


_COLUMNS: tuple[tuple[str, str, Cell, bool], ...] = (
    ("received", "Received", lambda call: moment(call.received_at), True),
    ("result", "Result", _result, True),
    ("error_type", "Error type", _error_type, False),
    ("key", "Virtual key", lambda call: call.key_name or DASH, True),
    ("team", "Team", lambda call: call.team_id or DASH, False),
    ("owner", "Owner", lambda call: call.user_id or DASH, False),
    ("end_user", "End user", lambda call: call.end_user or DASH, False),
    ("model", "Model and route", _model, True),
    ("served_model", "Model served", _served, False),
    ("upstream", "Upstream", _upstream, True),
    ("route", "Route", _route, False),
    ("endpoint_class", "Endpoint class", lambda call: (call.endpoint_class or DASH).replace("_", " "), False),
    ("streaming", "Streaming", lambda call: "yes" if call.streaming else "no", False),
    ("tokens", "Tokens in → out", _tokens, True),
    ("cost", "Cost", lambda call: _number(cost_words(call.cost)), True),
    ("ttft", "TTFT", lambda call: _seconds(call.ttft_ms), True),
    ("took", "Took", lambda call: _seconds(call.duration_ms), True),
    ("waited", "Waited for a place", lambda call: _seconds(call.queue_ms), False),
    ("attempts", "Upstreams tried", lambda call: _number(figure(call.attempts)), False),
    ("tags", "Tags", lambda call: _labels(call.tags), False),
    ("shadowed", "Went over, in shadow", lambda call: _labels(map(limit_word, call.shadowed)), False),
    ("client_address", "Client address", lambda call: _mono(call.client_address), False),
    ("user_agent", "User agent", lambda call: call.user_agent or DASH, False),
    ("request_id", "Request id", lambda call: _mono(call.request_id), False),
)


def _made(name: str, words: str, cell: Cell, *, is_usual: bool) -> Column:
    @admin.display(description=words)
    def shown(call: RequestLog) -> SafeString | str:
        return cell(call)

    shown.__name__ = name  # Django makes the class of the cell out of it
    return Column(name, words, shown, is_usual)


COLUMNS = {name: _made(name, words, cell, is_usual=is_usual) for name, words, cell, is_usual in _COLUMNS}
FIXED = "received"
"""The one that leads to the call's page."""
USUAL = tuple(name for name, column in COLUMNS.items() if column.is_usual)


def chosen_by(request: HttpRequest) -> tuple[str, ...]:
    """The columns that the person wants to see, in the order of the list."""
    return _known(request.COOKIES.get(_cookie(request), "").split(_SEPARATOR)) or USUAL


def keep_choice(request: HttpRequest, response: HttpResponseBase, names: Iterable[str]) -> None:
    """Keeps it for a year; nothing chosen stands for the usual ones."""
    known = _known(names)
    if not known or known == USUAL:
        response.delete_cookie(_cookie(request), path=request.path.rsplit("/", 2)[0])
        return
    response.set_cookie(
        _cookie(request),
        _SEPARATOR.join(known),
        max_age=COOKIE_SECONDS,
        path=request.path.rsplit("/", 2)[0],
        httponly=True,
        samesite="Lax",
        secure=request.is_secure(),
    )


def _known(names: Iterable[str]) -> tuple[str, ...]:
    wanted = set(names) & COLUMNS.keys()
    return tuple(name for name in COLUMNS if name in wanted or name == FIXED) if wanted - {FIXED} else ()


def _cookie(request: HttpRequest) -> str:
    return f"log_columns_{request.user.pk}"
