"""The models that clients can ask for, as the database has them: for the forms of keys and for examples of calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from gateway.limits_in_use import in_use
from keys.admin_limited import LimitedAdmin
from keys.admin_models import KnownModel
from keys.counters import Charge
from keys.limits import InUse
from upstreams.entries import Entry
from upstreams.models import UNHEALTHY, ModelAlias, Upstream
from upstreams.view import View

CHAT, EMBEDDING, RERANK = "chat", "embedding", "rerank"
_NAMED = {"embed": EMBEDDING, "rerank": RERANK}


def current_view() -> View:
    """All upstreams as the relay would see them now."""
    rows = Upstream.objects.prefetch_related("deployments")
    return View.of(0, {row.pk: Entry.of(row) for row in rows}, ModelAlias.objects.all())


def known_models(view: View | None = None) -> list[KnownModel]:
    """Each name that has an upstream that takes calls now, patterns of deployments included, in their order."""
    seen = current_view() if view is None else view
    names = {*(model.alias for model in seen.models()), *_of_default(seen), *(name for name, _ in seen.wildcards)}
    return [KnownModel(name, is_priced=_is_priced(seen, name), note=_note(seen, name)) for name in sorted(names)]


def _of_default(view: View) -> Iterator[str]:
    """What the default upstream serves, which receives all calls for names that nobody else has."""
    entry = view.default
    if entry is not None and entry.active:
        yield from (name for name in entry.served_models if not view.hides(name, entry))


def _is_priced(view: View, name: str) -> bool:
    places = dict(view.wildcards).get(name) or view.places(name)
    return any(place.prices is not None for place in places)


def _note(view: View, name: str) -> str:
    alias = view.aliases.get(name)
    return f"stands for {alias.stands_for}" if alias is not None and alias.stands_for else ""


def mode_of(view: View, name: str) -> str:
    """What the model is for, as the deployment's LiteLLM info says, or as its name suggests."""
    served = {(place.entry.name, place.served_name) for place in view.places(name)}
    infos = [
        one.info
        for entry in view.entries.values()
        for one in entry.deployments
        if (entry.name, one.served_name) in served and isinstance(one.info, dict)
    ]
    said = next((str(info["mode"]) for info in infos if info.get("mode")), "")
    return said or next((mode for part, mode in _NAMED.items() if part in name.lower()), CHAT)


def answering_first(view: View, names: Iterable[str]) -> list[str]:
    """The names in their order, but last those of which no upstream answers now: an example with one of them fails."""
    away = set(Upstream.objects.filter(health=UNHEALTHY).values_list("name", flat=True))
    return sorted(names, key=lambda name: _is_away(view, name, away)) if away else list(names)


def _is_away(view: View, name: str, away: set[str]) -> bool:
    entries = [place.entry for place in view.places(name)] or ([view.default] if view.default is not None else [])
    return all(entry.name in away or not entry.active for entry in entries)


class KnowsRelay(LimitedAdmin):
    """What the pages of whatever has limits need of the upstreams and of the relay."""

    class Media:
        css: ClassVar[dict[str, tuple[str, ...]]] = {"all": ("gateway/keys.css",)}
        js = ("gateway/keys.js",)

    def known_models(self) -> Sequence[KnownModel]:
        return known_models()

    def in_use(self, charges: Sequence[Charge]) -> Sequence[InUse] | None:
        return in_use(charges)
