"""Makes the demo's calls: entries as the relay journals them, in the order of their times.

When a key calls follows its rhythm; what becomes of a call is drawn by lot. The same seed and moment give the same
calls.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from random import Random

from django.conf import settings

from common.money import shown
from gateway.account.entry import Entry, Outcome, clean
from gateway.demo import cast, noting
from gateway.demo.endings import ENDINGS, Ending, limited, too_late
from gateway.demo.tables import Held, Served, busy_at
from keys.counters import Spent
from keys.identity import Party
from keys.limits import budget_counter, spend_counter
from keys.patterns import matches

_STEP = timedelta(minutes=10)
_ROUTES = {True: "/v1/chat/completions", False: "/v1/embeddings"}
Parties = Mapping[tuple[str, str], Party]


class Traffic:
    """The calls of all keys between two moments."""

    def __init__(
        self,
        keys: Sequence[Held],
        servers: Sequence[Served],
        parties: Parties,
        chance: Random,
        endings: Sequence[Ending] = ENDINGS,
    ) -> None:
        self._keys = keys
        self._endings = endings
        self._servers = servers
        self._parties = parties
        self._chance = chance
        self._weights = list(accumulate(ending.weight for ending in endings))

    def calls(self, start: datetime, now: datetime, count: int) -> Iterator[Entry]:
        """About `count` entries, oldest first."""
        half = start + (now - start) / 2
        shares = sum(held.key.share for held in self._keys)
        planned = [
            (at, held)
            for held in self._keys
            for at in self._times(held.key, start, now, count * held.key.share // shares)
        ]
        planned.sort(key=lambda one: one[0])
        for at, held in planned:
            yield self._call(at, held, now.timestamp(), is_early=at < half.timestamp())

    def _times(self, key: cast.Key, start: datetime, now: datetime, count: int) -> list[float]:
        """When the key calls: more often in its hours, and a little more in each week than in the one before."""
        begins = max(start, now + timedelta(days=key.begins))
        ends = now if key.ends is None else now + timedelta(days=key.ends)
        steps, weights = _steps(begins, ends, key.rhythm, start, now)
        if not steps or not count:
            return []
        chosen = self._chance.choices(steps, cum_weights=weights, k=count)
        return [first + length * self._chance.random() for first, length in chosen]

    # --- One call

    def _call(self, at: float, held: Held, now: float, *, is_early: bool) -> Entry:
        chance, key = self._chance, held.key
        alias = chance.choices([name for name, _ in key.mix], [share for _, share in key.mix])[0]
        model = cast.MODELS[alias]
        end_user = f"customer-{int(chance.expovariate(8 / key.end_users)) + 1}" if key.end_users else None
        entry: Entry = {
            "call_id": self._call_id(at),
            "request_id": f"req-{chance.getrandbits(64):016x}",
            "received_at": at,
            "key_id": held.row.pk,
            "secret_id": held.secret_id,
            "key_name": key.name,
            "user_id": key.owner,
            "team_id": key.team,
            "end_user": end_user,
            "model": alias,
            "method": "POST",
            "route": _ROUTES[model.writes],
            "endpoint_class": "inference",
            "streaming": model.writes and chance.random() < key.streams,
            "bytes_in": 0,
            "client_address": f"10.20.{len(key.name)}.{chance.randrange(2, 60)}",
            "user_agent": key.agent,
            "tags": self._tags(key),
            "usage_source": "none",
            "attempts": 0,
        }
        ending = self._ending(key, at, now)
        if ending.refuses:
            return clean(self._refused(entry, ending))
        places = self._places(alias, is_early=is_early)
        if ending.finds_no_place:
            return clean(self._full(entry, ending, places, now))
        place = chance.choices(places, [one.server.share for one in places])[0]
        self._served(entry, model, place, ending, now)
        if ending.outcome is not Outcome.LOST:  # nobody was left who could have said
            entry["decisions"] = noting.served(entry, place, places, self._parties_of(entry), chance)
        return clean(entry)

    def _call_id(self, at: float) -> str:
        noise = self._chance.getrandbits(74)
        return f"{int(at * 1000) << 80 | 7 << 76 | (noise >> 62) << 64 | 2 << 62 | noise & ((1 << 62) - 1):032x}"

    def _tags(self, key: cast.Key) -> list[str]:
        if "production" in key.tags and self._chance.random() < 0.3:
            return [*key.tags, self._chance.choice(("feature:reply", "feature:summary", "feature:search"))]
        return list(key.tags)

    def _ending(self, key: cast.Key, at: float, now: float) -> Ending:
        if key.expires is not None and at > now + key.expires * 86_400:
            return too_late(now + key.expires * 86_400)
        if key.refused and self._chance.random() < key.refused:
            return limited(key)
        return self._endings[bisect(self._weights, self._chance.random() * self._weights[-1])]

    def _places(self, alias: str, *, is_early: bool) -> list[Served]:
        return [one for one in self._servers if one.server.model == alias and (is_early or not one.server.replaced)]

    def _parties_of(self, entry: Entry) -> list[Party]:
        whose = (("key", str(entry["key_id"])), ("team", entry["team_id"]), ("user", entry["user_id"]),
                 ("end_user", entry["end_user"]))  # fmt: skip
        return [party for who in whose if (party := self._parties.get(who)) is not None]

    def _refused(self, entry: Entry, ending: Ending) -> Entry:
        text = ending.text.format(**entry, at=datetime.fromtimestamp(entry["received_at"] + noting.RESETS, UTC))
        entry |= self._unasked(entry, ending, text, self._chance.uniform(0.0004, 0.003))
        entry["model"] = ending.asks or entry["model"]
        entry["decisions"] = noting.refused(entry, self._parties_of(entry), self._chance, ending.limit)
        return entry

    def _full(self, entry: Entry, ending: Ending, places: Sequence[Served], now: float) -> Entry:
        waited = min(float(settings.QUEUE_SECONDS), now - entry["received_at"])
        entry |= self._unasked(entry, ending, ending.text, waited)
        entry["queue_ms"] = round(waited * 1000, 1)
        entry["decisions"] = noting.full(entry, places, self._parties_of(entry), self._chance)
        return entry

    def _unasked(self, entry: Entry, ending: Ending, text: str, took: float) -> Entry:
        """Of a call that no upstream was asked for."""
        return {
            "outcome": ending.outcome,
            "status": ending.status,
            "error_type": ending.type,
            "error_text": text,
            "ended_at": entry["received_at"] + took,
            "bytes_in": self._chance.randrange(300, 9_000),
            "bytes_out": 200 + len(text),
        }

    def _served(self, entry: Entry, model: cast.Model, place: Served, ending: Ending, now: float) -> None:
        chance = self._chance
        prompt = max(8, int(chance.lognormvariate(6.7, 0.9)))
        cached = int(prompt * chance.choice((0, 0, 0.3, 0.6, 0.85))) // 16 * 16
        completion = max(1, int(chance.lognormvariate(5.3, 0.8))) if model.writes else None
        entry |= {
            "served_model": model.served,
            "upstream_id": place.row.pk,
            "upstream_name": place.row.name,
            "attempts": 1 + (ending.tries > 1 or chance.random() < 0.002),
            "bytes_in": prompt * 5 + 240,
            "queue_ms": round(chance.expovariate(1 / 400), 1) if chance.random() < 0.01 else None,
        }
        self._time(entry, model, completion, ending, now)
        if ending.used is not None:
            completion = completion and max(1, int(completion * ending.used))
            entry |= {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "cached_tokens": cached if model.writes else 0,
                "usage_source": ending.source,
                "bytes_out": (completion or 4_000) * (190 if entry["streaming"] else 5) + 600,
            }
            self._price(entry, place)

    def _time(self, entry: Entry, model: cast.Model, completion: int | None, ending: Ending, now: float) -> None:
        chance, at = self._chance, entry["received_at"]
        first = model.ttft_ms / 1000 * chance.lognormvariate(0, 0.45) if model.writes else chance.uniform(0.01, 0.08)
        pace = model.inter_token_ms / 1000 * chance.uniform(0.85, 1.3)
        written = pace * max(0, int((completion or 1) * (ending.used or 0)) - 1)
        last = min(now, at + first + written) if ending.seconds is None else min(now, at + ending.seconds)
        entry |= {
            "outcome": ending.outcome,
            "status": ending.status,
            "error_type": ending.type or None,
            "error_text": ending.text or None,
            "ended_at": None if ending.outcome is Outcome.LOST else last,
            "bytes_out": len(ending.text) + 180,
        }
        if ending.used is None:
            return
        head = min(last, at + first * (0.94 if entry["streaming"] else 1) + (0 if entry["streaming"] else written))
        entry["head_at"] = head
        if entry["streaming"]:
            entry |= {
                "first_token_at": min(last, at + first),
                "ttft_ms": round(first * 1000, 3),
                "inter_token_ms": round(pace * 1000, 3),
            }

    def _price(self, entry: Entry, place: Served) -> None:
        if place.prices is None:
            return
        seconds = entry["ended_at"] - entry["received_at"] if entry["ended_at"] else 0.0
        tokens = (entry["prompt_tokens"], entry["completion_tokens"], entry["cached_tokens"])
        cost = place.prices.cost(*tokens, seconds)
        if cost is not None:
            entry |= {"cost": shown(cost), "spend": self._spend(entry, cost)}

    def _spend(self, entry: Entry, cost: int) -> list[Spent]:
        """What budgets and spends remember of the call, as `gateway.charging.settled` says it."""
        found: dict[str, Spent] = {}
        tokens = (entry["prompt_tokens"] or 0) + (entry["completion_tokens"] or 0)
        at = entry["received_at"]
        for party in self._parties_of(entry):
            counter, seconds = spend_counter(party, at)
            found[counter] = Spent(counter, cost, seconds)
            for budget in party.limits.budgets:
                if budget.model is None or matches(budget.model, entry["model"]):
                    counter, seconds = budget_counter(party, budget, at)
                    found[counter] = Spent(counter, cost if budget.unit == "usd" else tokens, seconds)
        return [one for one in found.values() if one.amount]


@lru_cache(maxsize=8)  # most keys call all the time, in one of a few rhythms
def _steps(
    begins: datetime, ends: datetime, rhythm: str, start: datetime, now: datetime
) -> tuple[list[tuple[float, float]], list[float]]:
    """The stretches of a key's time, each as its beginning and its length in seconds, and their weights, added up."""
    steps, weights = [], []
    moment = begins
    while moment < ends:
        growth = 1 + 0.4 * ((moment - start) / (now - start))
        length = min(_STEP, ends - moment)
        steps.append((moment.timestamp(), length.total_seconds()))
        weights.append(busy_at(moment, rhythm) * growth * (length / _STEP))
        moment += _STEP
    return steps, list(accumulate(weights))
