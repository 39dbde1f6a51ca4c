"""What a call is charged: taken before it goes upstream, settled when it has ended.

The limits of the key, its team, its owner and the end user hold together: all charges are taken in one step, or none.
Tokens and money are reserved before, as an upper bound where there is one, and booked after as they really were.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from django.conf import settings

from gateway.account.entry import UsageSource
from gateway.call import ParsedCall
from gateway.metering.usage import estimate_prompt
from gateway.routes import INFERENCE, Match
from keys.counters import Charge, Spent, Standing, rate_headers
from keys.identity import Identity, Party
from keys.limits import Asked, is_of_tokens, spend_counter
from keys.parties import Parties
from upstreams.pricing import Prices
from upstreams.selection import Candidate

Headers = list[tuple[str, str]]


@dataclass(slots=True)
class Bill:
    """What one call has been charged, and against whom. Made when the call is admitted, read when it has ended.

    `charges` without `standings` were asked for, and not taken.
    """

    parties: Sequence[Party] = ()
    charges: Sequence[Charge] = ()
    standings: Sequence[Standing] = ()
    headers: Headers = field(default_factory=list)
    shadowed: tuple[str, ...] = ()
    """Limits in shadow that would have refused the call."""

    def note(self, charges: Sequence[Charge], standings: Sequence[Standing]) -> None:
        """Notes what was taken."""
        self.charges, self.standings = charges, standings
        self.headers = headers_for(charges, standings)
        names = (charge.limit for charge, one in zip(charges, standings, strict=True) if one.exceeded)
        self.shadowed = tuple(dict.fromkeys(names))


NO_BILL = Bill()


def parties_of(identity: Identity, end_user: str | None, known: Parties) -> list[Party]:
    """Whose limits the call counts against: the key, its team, its owner, and the end user, where any has a say."""
    found = [] if identity.party is None else [identity.party]
    for kind, ident in (("team", identity.team_id), ("user", identity.user_id), ("end_user", end_user)):
        party = known.find(kind, ident) if ident else None
        if party is not None:
            found.append(party)
    return found


def asked_of(parsed: ParsedCall, match: Match, model: str | None, candidates: Iterable[Candidate]) -> Asked:
    """What the call may use at most, as far as its request tells."""
    is_inference = match.endpoint_class == INFERENCE
    if match.meter is None:  # of a session nobody knows before how long it will be
        return Asked(model=model, counts_tokens=match.is_priced, is_inference=is_inference)
    places = list(candidates)
    most = max((one.max_model_len or 0 for one in places), default=0)
    prompts = parsed.prompts
    prompt = 0 if match.form else estimate_prompt(parsed.body.length)
    if most:
        prompt = min(prompt, most * prompts)
    minute = longest = 0
    if match.streams:  # the routes that write
        wanted = parsed.max_tokens
        minute = (settings.DEFAULT_OUTPUT_TOKENS if wanted is None else wanted) * parsed.choices * prompts
        longest = minute
        if wanted is None and most:
            longest = max(0, most * prompts - prompt) * parsed.choices
    cost = max((one.prices.bound(prompt, longest) for one in places if one.prices is not None), default=0)
    return Asked(
        model=model,
        tokens=prompt + minute,
        most_tokens=prompt + longest,
        cost=cost,
        counts_tokens=True,
        is_inference=is_inference,
    )


def headers_for(charges: Sequence[Charge], standings: Sequence[Standing]) -> Headers:
    """`x-ratelimit-*` of the request limit and of the token limit that leave the least."""
    tightest: dict[str, tuple[int, Charge, Standing]] = {}
    for charge, standing in zip(charges, standings, strict=True):
        if charge.counts in ("requests", "tokens") and charge.enforced:
            left = max(0, charge.ceiling - standing.used)
            if charge.counts not in tightest or left < tightest[charge.counts][0]:
                tightest[charge.counts] = (left, charge, standing)
    return [
        pair
        for what, (left, charge, standing) in tightest.items()
        for pair in rate_headers(what, charge.ceiling, left, standing.seconds_left)
    ]


@dataclass(frozen=True, slots=True)
class Used:
    """What a call has used in the end; None is not known. Time in seconds."""

    prompt: int | None
    completion: int | None
    cached: int | None
    seconds: float
    source: UsageSource
    succeeded: bool

    @property
    def is_unknown(self) -> bool:
        """Whether something was used, and nobody says how much."""
        return self.source is UsageSource.UNKNOWN

    @property
    def tokens(self) -> int:
        """Prompt and completion together."""
        return (self.prompt or 0) + (self.completion or 0)


def cost_of(prices: Prices | None, used: Used) -> int | None:
    """What the call has cost, in units of money; None where no price is set, or nobody knows what it used.

    One that failed before it used anything has cost nothing.
    """
    if prices is None or (used.is_unknown and prices.by_tokens):
        return None
    if not used.succeeded and used.source is UsageSource.NONE:
        return 0
    if used.source is UsageSource.NONE and prices.by_tokens:
        return prices.cost(0, 0, 0, used.seconds)
    return prices.cost(used.prompt, used.completion, used.cached, used.seconds)


def settled(bill: Bill, used: Used, cost: int | None) -> tuple[list[Spent], list[Spent]]:
    """What is booked on the counters, and what of it budgets and spends remember.

    Where nobody knows what was used, what was reserved stands; of money only where nobody knows the cost either.
    """
    booked: dict[str, Spent] = {}
    remembered: dict[str, Spent] = {}
    for charge, standing in zip(bill.charges, bill.standings, strict=False):
        if charge.unit is None or not charge.held or charge.counter in booked:
            continue
        real = used.tokens if charge.unit == "tokens" else cost or 0
        is_known = not used.is_unknown or (charge.unit == "usd" and cost is not None)
        one = Spent(charge.counter, real if is_known else standing.taken, charge.seconds)
        booked[charge.counter] = one
        if charge.counts == "budget":
            remembered[charge.counter] = one
    if cost:
        now = time.time()
        told = {_series(counter) for counter in remembered}
        for party in bill.parties:
            counter, seconds = spend_counter(party, now)
            # A call that began in the window before has its cost there already, and costs nothing in this one.
            if _series(counter) not in told:
                remembered[counter] = Spent(counter, cost, seconds)
    return [one for one in booked.values() if one.amount], [one for one in remembered.values() if one.amount]


def settled_for(taken_back: Iterable[Spent], used: Used, cost: int | None) -> list[Spent]:
    """What is booked on the budgets of a call that ended before anything was used, once another tells what it was."""
    return [
        Spent(one.counter, (used.tokens if is_of_tokens(one.counter) else cost or 0) - one.amount, one.seconds)
        for one in taken_back
    ]


def corrected_by(corrected: Sequence[Spent], remembered: Iterable[Spent]) -> list[Spent]:
    """What budgets and spends remember with these corrections. What began in a window that is over since costs nothing
    in the one of now, as in `settled`."""
    told = {_series(one.counter) for one in corrected}
    return [*(one for one in remembered if _series(one.counter) not in told), *corrected]


def _series(counter: str) -> str:
    """All windows of one budget: the name without the window's start and the epoch."""
    return counter.rsplit("/", 2)[0]


def reserved(bill: Bill) -> list[Spent]:
    """What budgets remember of a call that was lost: all that it had reserved."""
    found: Mapping[str, Spent] = {
        charge.counter: Spent(charge.counter, standing.taken, charge.seconds)
        for charge, standing in zip(bill.charges, bill.standings, strict=False)
        if charge.counts == "budget" and standing.taken
    }
    return list(found.values())
