"""The facts of `GET /me` as a page shows them: lines, bars and a chart. Knows no request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from gateway.holder_pages.refusals import in_words
from gateway.holder_pages.visit import Visit
from gateway.spend_api.own import facts_of
from gateway.spend_api.sums import DAYS, thirty_days_ago
from keys.errors import HolderBlocked
from keys.limit_words import KIND_WORDS, UNPRICED, each, limit_word, so_many

MOST_SERIES = 8
_NEARLY = 80.0
_CENT = 0.01
_CALLS = ("calls", "failed", "refused", "cut")


def page_of(visit: Visit) -> dict[str, Any]:
    """What the template shows of this key."""
    facts = facts_of(visit.key, visit.identity)
    usage = facts["usage"]
    is_unpriced = usage["total"]["spend"] is None and _tokens(usage["total"]) > 0
    return {
        "facts": facts["key"],
        "blocks": [in_words(HolderBlocked(one["of"], one["name"])) for one in facts["blocked_by"]],
        "expires": visit.key.expires_at,
        "spend": [_spent(line, is_unpriced=is_unpriced) for line in facts["spend"] if _is_known(line)],
        "limits": [_limit(line) for line in facts["limits"]],
        "days": usage["days"],
        "total": {**usage["total"], "tokens": _tokens(usage["total"])},
        "models": list(_by_model(usage["by_model_and_day"])),
        "chart": _chart(usage["by_model_and_day"]) if usage["by_model_and_day"] else None,
        "errors": [{**error, "at": _moment(error["at"])} for error in facts["errors"]],
    }


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _whose(line: Mapping[str, Any]) -> str:
    return "This key" if line["of"] == "key" else f"The {KIND_WORDS[line['of']]} {line['name']}"


def _is_known(line: Mapping[str, Any]) -> bool:
    """Whether the amount says something. Where nothing was counted of a team or an owner, its calls may have had no
    price, or been made before it had a row: what they cost is not known, and not nothing."""
    return bool(line["of"] == "key" or line["spend"])


def _spent(line: Mapping[str, Any], *, is_unpriced: bool) -> dict[str, Any]:
    """`is_unpriced`: the key used tokens, and none of them had a price."""
    unpriced = UNPRICED if is_unpriced and line["of"] == "key" and not line["spend"] else ""
    return {
        "whose": _whose(line),
        "spend": line["spend"],
        "is_below_a_cent": 0 < line["spend"] < _CENT,
        "unpriced": unpriced,
        "resets_at": _moment(line["resets_at"]),
    }


def _limit(line: Mapping[str, Any]) -> dict[str, Any]:
    """A limit in words. `share`: per cent of it that is used, where that is known."""
    used, ceiling = line["used"], line["ceiling"]
    share = None if used is None else min(100.0, 100 * used / ceiling if ceiling else 100.0)
    word = limit_word(line["limit"])
    is_budget = line["unit"] == "usd" or (line["period"] not in (None, "1m"))
    return {
        **line,
        "whose": _whose(line),
        "word": word[:1].upper() + word[1:],
        "each": each(line["period"] or "") if is_budget and used is not None else "",
        "share": None if share is None else round(share, 1),
        "most": so_many(ceiling, line["unit"]) if line["unit"] != "usd" else "",
        "kind": "" if share is None else "bad" if share >= 100 else "warning" if share >= _NEARLY else "good",
        "resets_at": _moment(line["resets_at"]),
        "is_money": line["unit"] == "usd",
    }


def _tokens(sums: Mapping[str, Any]) -> int:
    return int(sums["prompt_tokens"] + sums["completion_tokens"])


def _by_model(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Sums of each model, the most used first."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        one = found.setdefault(
            row["model"], {"model": row["model"], **dict.fromkeys(_CALLS, 0), "tokens": 0, "spend": None}
        )
        for name in _CALLS:
            one[name] += row[name]
        one["tokens"] += _tokens(row)
        if row["spend"] is not None:
            one["spend"] = (one["spend"] or 0.0) + row["spend"]
    return iter(sorted(found.values(), key=lambda one: (-one["tokens"], -one["calls"])))


def _chart(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Tokens of each model by day; models beyond the most used are one series."""
    first = thirty_days_ago().date()
    days = [first + timedelta(days=number) for number in range(DAYS + 1)]
    names = [one["model"] for one in _by_model(rows)]
    shown = names if len(names) <= MOST_SERIES else names[: MOST_SERIES - 1]
    values: dict[str, dict[date, int]] = {}
    for row in rows:
        name = row["model"] if row["model"] in shown else None
        of_day = values.setdefault(name or "All others" if name != "" else "No model", {})
        day = date.fromisoformat(row["date"])
        of_day[day] = of_day.get(day, 0) + _tokens(row)
    return {
        "x": [int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) for day in days],
        "series": [
            {"name": name, "unit": "tokens", "values": [of_day.get(day, 0) for day in days]}
            for name, of_day in sorted(values.items(), key=lambda item: -sum(item[1].values()))
        ],
        "stacked": True,
        "kind": "bars",
        "dates": "day",
    }
