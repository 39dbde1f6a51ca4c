"""Every model name that can be called, for the admin's list: where it leads, what it costs, how it is routed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from upstreams.admin_prices import MILLION
from upstreams.entries import Entry, Place
from upstreams.models import ModelAlias, Routing, Upstream
from upstreams.pricing import Prices
from upstreams.view import View


@dataclass(frozen=True, slots=True)
class Where:
    """One upstream that serves a model. `served_name` is empty where it is the name itself; `note` is why no call goes
    there now."""

    upstream: Upstream
    served_name: str
    price: str
    note: str


@dataclass(frozen=True, slots=True)
class Model:
    """One name that clients may ask for."""

    name: str
    places: tuple[Where, ...]
    strategy: str
    max_model_len: int | None
    stands_for: str = ""
    is_pattern: bool = False

    @property
    def is_priced(self) -> bool:
        """Whether a call costs something wherever it goes."""
        return all(place.price for place in self.places)


def every_model() -> list[Model]:
    """All names by name, patterns last; four queries."""
    rows = list(Upstream.objects.prefetch_related("deployments"))
    aliases = list(ModelAlias.objects.all())
    view = View.of(0, {row.pk: Entry.of(row) for row in rows}, aliases, Routing.current())
    by_name = {row.name: row for row in rows}
    stands_for = {one.name: one.stands_for for one in aliases if one.stands_for and one.name not in view.by_alias}
    named = [_model(view, name, view.places(name), by_name, stands_for.get(name, "")) for name in _names(view)]
    patterns = [_model(view, pattern, places, by_name, "") for pattern, places in view.wildcards]
    return [*named, *patterns]


def without_price(models: Sequence[Model]) -> list[str]:
    """The names of those whose calls may cost nothing, because a price is not known."""
    return [one.name for one in models if one.places and not one.is_priced]


def _names(view: View) -> Iterator[str]:
    return iter(sorted({*view.by_alias, *(one.name for one in view.aliases.values() if one.stands_for)}))


def _model(view: View, name: str, places: Sequence[Place], rows: dict[str, Upstream], stands_for: str) -> Model:
    lengths = [length for place in places if (length := place.max_model_len)]
    return Model(
        name,
        tuple(_where(place, name, rows[place.entry.name]) for place in places),
        view.strategy_of(name).replace("_", " "),
        min(lengths, default=None),
        stands_for,
        "*" in name,
    )


def _where(place: Place, name: str, row: Upstream) -> Where:
    note = ""
    if not place.entry.active:
        note = row.get_state_display()
    elif place.entry.target is None:
        note = "Credential unreadable"
    elif "*" not in name and not place.is_listed:
        note = "Not listed"
    return Where(row, "" if place.served_name == name else place.served_name, price_words(place.prices), note)


def price_words(prices: Prices | None) -> str:
    """Prices in words, those of tokens for a million of them; "" when there are none."""
    if prices is None:
        return ""
    tokens = ((prices.input, "prompt"), (prices.cached, "cached"), (prices.output, "completion"))
    told = [f"{_dollars(price * MILLION)} {what}" for price, what in tokens if price is not None]
    words = [", ".join(told) + " per million tokens"] if told else []
    words += [
        f"{_dollars(price)} {of}"
        for price, of in ((prices.second, "a second"), (prices.request, "a call"))
        if price is not None
    ]
    return "; ".join(words)


def _dollars(amount: Decimal) -> str:
    """As few digits as tell the price, but cents in full."""
    exact = f"{amount.normalize():f}"
    whole, _, cents = exact.partition(".")
    return f"${whole}.{cents:0<2}" if cents else f"${whole}"
