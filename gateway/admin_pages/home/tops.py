"""The keys and models that were used most in the last 24 hours, and what they are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db.models import Max

from gateway.account.endings import failed_of
from gateway.admin_pages.home.day import (
    CALLS,
    COMPLETION,
    CUT,
    ERRORS,
    PROMPT,
    REFUSED,
    Part,
    busiest_keys,
    of_keys,
    of_models,
)
from gateway.admin_pages.home.notices import admin_url
from gateway.admin_pages.home.now import logs_url
from gateway.admin_pages.usage import last_day as last_day_of_rollups
from keys.models import VirtualKey
from keys.scope import scoped_keys

MOST = 6
BAR = 100
NO_MODEL, NO_KEY = "no model named", "master key, or none"


@dataclass(frozen=True, slots=True)
class Line:
    """One key or model. `bar` is its share of the first line's tokens or calls, of 100."""

    name: str
    url: str
    calls: int
    tokens: int
    failed: int
    refused: int
    cut: int
    bar: int


def model_names(models: list[Any]) -> dict[Any, str]:
    """What models are called."""
    return {model: model or NO_MODEL for model in models}


def key_names(key_ids: list[Any]) -> dict[Any, str]:
    """What keys are called, those that are gone by the name that they had when they last called."""
    names = dict(VirtualKey.objects.filter(pk__in=key_ids).values_list("pk", "name"))
    unnamed = [key_id for key_id in key_ids if key_id and not names.get(key_id)]
    if unnamed:
        rows = last_day_of_rollups().filter(key_id__in=unnamed).order_by().values("key_id")
        names |= dict(rows.annotate(last_name=Max("key_name")).values_list("key_id", "last_name"))
    return {key_id: names.get(key_id) or (f"key {key_id}" if key_id else NO_KEY) for key_id in key_ids}


def models(user: Any) -> list[Line]:
    """The models that were used most."""

    def urls(models: list[Any]) -> dict[Any, str]:
        return {model: logs_url(period="24h", model=model) if model else "" for model in models}

    return _lines(of_models(user), model_names, urls)


def keys(user: Any) -> list[Line]:
    """The keys that were used most; each leads to its page, or to its calls where it is gone or for who may not see
    that."""

    def urls(key_ids: list[Any]) -> dict[Any, str]:
        may_open = user.has_perm("keys.view_virtualkey")
        rows = scoped_keys(VirtualKey.objects.filter(pk__in=key_ids), user) if may_open else VirtualKey.objects.none()
        calls = {key_id: logs_url(period="24h", key=str(key_id) if key_id else "none") for key_id in key_ids}
        return calls | {pk: admin_url("keys_virtualkey", pk) for pk in rows.values_list("pk", flat=True)}

    return _lines(of_keys(user, busiest_keys(user, "tokens")), key_names, urls)


def _lines(
    sums: Part,
    named: Callable[[list[Any]], dict[Any, str]],
    addresses: Callable[[list[Any]], dict[Any, str]],
) -> list[Line]:
    def weight(value: Any) -> tuple[int, int]:
        return (sums[value][PROMPT] + sums[value][COMPLETION], sums[value][CALLS])

    most = sorted(sums, key=weight, reverse=True)[:MOST]
    names, urls = named(most), addresses(most)
    top = weight(most[0]) if most else (0, 0)
    place = 0 if top[0] else 1
    return [
        Line(
            name=names[value],
            url=urls[value],
            calls=sums[value][CALLS],
            tokens=weight(value)[0],
            failed=failed_of(sums[value][ERRORS], sums[value][REFUSED], sums[value][CUT]),
            refused=sums[value][REFUSED],
            cut=sums[value][CUT],
            bar=round(weight(value)[place] / top[place] * BAR) if top[place] else 0,
        )
        for value in most
    ]
