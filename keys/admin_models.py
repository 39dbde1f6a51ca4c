"""Picks models from those that exist, beside patterns and names that are typed. Works by keyboard and without a script.

Which models exist is not for this app to know: whoever registers the pages says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from keys.admin_fields import LinesField
from keys.limit_values import COLUMNS, SOFT_BUDGET, limits_of
from keys.patterns import matches

MOST_OFFERED = 300

MONEY = ("max_budget", "soft_budget", "budget_limits", "model_max_budget")


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that clients can ask for. Without a price its calls cost nothing that a budget could count."""

    name: str
    is_priced: bool = False
    note: str = ""


class ModelsInput(forms.Textarea):
    """A tick for each known model, and a text for all else."""

    known: Sequence[KnownModel] = ()

    def value_from_datadict(self, data: Any, files: Any, name: str) -> str | None:
        """Both together, one name a line."""
        typed = super().value_from_datadict(data, files, name)
        picked = data.getlist(f"{name}_picked") if hasattr(data, "getlist") else data.get(f"{name}_picked", [])
        return "\n".join([*picked, typed or ""]) if picked else typed

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return name not in data and f"{name}_picked" not in data

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        """`value` as LinesField prepares it: one name a line."""
        chosen = [line.strip() for line in (value or "").splitlines() if line.strip()]
        offered = self.known[:MOST_OFFERED]
        names = {one.name for one in offered}
        typed = [line for line in chosen if line not in names]
        area = super().render(name, "\n".join(typed), {**(attrs or {}), "rows": 2}, renderer)
        context = {
            "name": name,
            "offered": [(one, one.name in chosen) for one in offered],
            "more": len(self.known) - len(offered),
            "area": area,
            "area_id": (attrs or {}).get("id", name),
        }
        return SafeString(render_to_string("admin/keys/includes/models.html", context))


class ModelsField(LinesField):
    """The models that may be used; none is every model."""

    def __init__(self, **kwargs: Any) -> None:
        widget = ModelsInput(attrs={"class": "mono", "spellcheck": "false", "placeholder": "qwen-*"})
        super().__init__(**{"label": "Models", "widget": widget, **kwargs})

    def offer(self, known: Sequence[KnownModel]) -> None:
        """Lets these be ticked."""
        if isinstance(self.widget, ModelsInput):
            self.widget.known = known

    def has_changed(self, initial: Any, data: Any) -> bool:
        """The ticked ones come first: another order is no change."""
        try:
            return set(initial or ()) != set(self.to_python(data))
        except ValidationError:
            return True


def usable(models: Iterable[str], known: Iterable[KnownModel]) -> list[KnownModel]:
    """Those that a list of models allows; an empty one allows all."""
    patterns = list(models)
    return [one for one in known if not patterns or any(matches(pattern, one.name) for pattern in patterns)]


def counts_nothing(row: Any, known: Iterable[KnownModel]) -> bool:
    """Whether the row has a budget in money that would be spent, and no model that it may use has a price."""
    return waits_for_prices(row) and not any(one.is_priced for one in usable(row.models, known))


def waits_for_prices(row: Any) -> bool:
    """Whether the row has a budget in money that calls with a price use up. One of 0 is spent from the beginning, and
    leaves nothing to the others."""
    budgets = limits_of({name: getattr(row, name) for name in COLUMNS}).budgets
    money = [budget for budget in budgets if budget.unit == "usd"]
    is_spent = any(not one.ceiling and one.model is None and one.name != SOFT_BUDGET for one in money)
    return not is_spent and any(one.ceiling for one in money)


def with_models(form: type[Any], known: Sequence[KnownModel]) -> type[Any]:
    """The form, which offers these models."""
    attributes: Mapping[str, Any] = {"known_models": tuple(known)}
    return type(form.__name__, (form,), dict(attributes))
