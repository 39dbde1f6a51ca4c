"""The form fields of whatever has limits: lists one a line, objects, money, periods, texts with suggestions.

They say what is wrong in plain words. Knows no request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminIntegerFieldWidget, AdminTextInputWidget
from django.core.exceptions import ValidationError
from django.forms.fields import InvalidJSONInput
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from keys.durations import is_period
from keys.limit_values import ROUTE_GROUPS
from keys.limit_words import period_choices
from keys.validation import LARGEST_BUDGET, LARGEST_INTEGER, validate_networks, validate_routes

LARGEST_TOKENS = 9_000_000_000_000_000
AT_LEAST = "Must be %(limit_value)s or more; leave it empty for no limit."
AT_MOST = "Must be %(limit_value)s at most; leave it empty for no limit."

_COUNT = re.compile(r"(.+?)\s*=\s*([0-9]{1,10})")
_AMOUNT = r"\$?\s*([0-9]{1,9}(?:\.[0-9]{1,8})?)(?:\s+per\s+([0-9a-z]{1,20}))?"
_BUDGET = re.compile(_AMOUNT)
_MODEL_BUDGET = re.compile(rf"(.+?)\s*=\s*{_AMOUNT}")


def code_area(rows: int = 4) -> forms.Textarea:
    """A text area for what is typed as code."""
    return forms.Textarea(attrs={"rows": rows, "class": "mono", "spellcheck": "false"})


class LinesField(forms.CharField):
    """A list of texts, one a line. `fault` says what is wrong with one, or nothing."""

    def __init__(self, *, fault: Callable[[str], str] | None = None, **kwargs: Any) -> None:
        self._fault = fault
        super().__init__(**{"required": False, "widget": code_area(), **kwargs})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        lines = value if isinstance(value, list) else (super().to_python(value) or "").splitlines()
        found = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
        faults = [fault for line in found if (fault := self._line_fault(line))]
        if faults:
            raise ValidationError(faults[:5])
        return found

    def _line_fault(self, line: str) -> str:
        if "\0" in line:
            return "The text holds a character that cannot be stored."
        return self._fault(line) if self._fault else ""


class PairsField(LinesField):
    """A value that people write line by line; a subclass says how. What is kept need not be what was typed."""

    example: str

    def prepare_value(self, value: Any) -> Any:
        return value if value is None or isinstance(value, str) else "\n".join(self.written(value))

    def to_python(self, value: Any) -> Any:
        return self.read(super().to_python(value))

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(data) != self.to_python(self.prepare_value(initial) or ""))
        except ValidationError:
            return True

    def written(self, value: Any) -> Iterable[str]:
        """The lines that stand for a stored value."""
        raise NotImplementedError

    def read(self, lines: list[str]) -> Any:
        """The value that the lines stand for. Raises ValidationError."""
        raise NotImplementedError

    def _refuse(self, line: str) -> ValidationError:
        return ValidationError(f"“{line[:100]}” cannot be understood; write it like {self.example}.")


class ModelLimitsField(PairsField):
    """A whole number for each model: `qwen-* = 60`."""

    example = "qwen-* = 60"

    def written(self, value: Any) -> Iterable[str]:
        return (f"{model} = {most}" for model, most in value.items())

    def read(self, lines: list[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for line in lines:
            match = _COUNT.fullmatch(line)
            if match is None:
                raise self._refuse(line)
            if int(match[2]) > LARGEST_INTEGER:
                raise ValidationError(f"“{line[:100]}”: the number may be {LARGEST_INTEGER:,} at most.")
            _add(found, match[1], int(match[2]))
        return found


class BudgetsField(PairsField):
    """Budgets with their periods: `2 per 1h`."""

    example = "2 per 1h"

    def written(self, value: Any) -> Iterable[str]:
        return (_budget_line(one.get("max_budget"), one.get("budget_duration")) for one in value)

    def read(self, lines: list[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for line in lines:
            match = _BUDGET.fullmatch(line)
            if match is None:
                raise self._refuse(line)
            found.append(_budget(line, match[1], match[2], "max_budget", "budget_duration"))
        return found


class ModelBudgetsField(PairsField):
    """A budget for each model: `qwen-* = 5 per 1d`."""

    example = "qwen-* = 5 per 1d"

    def written(self, value: Any) -> Iterable[str]:
        return (
            f"{model} = {_budget_line(one.get('budget_limit'), one.get('time_period'))}" for model, one in value.items()
        )

    def read(self, lines: list[str]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for line in lines:
            match = _MODEL_BUDGET.fullmatch(line)
            if match is None:
                raise self._refuse(line)
            _add(found, match[1], _budget(line, match[2], match[3], "budget_limit", "time_period"))
        return found


def _add(found: dict[str, Any], model: str, value: object) -> None:
    if model in found:
        raise ValidationError(f"“{model[:100]}” is named twice.")
    found[model] = value


def _budget_line(dollars: Any, period: Any) -> str:
    amount = f"{Decimal(str(dollars)).normalize():f}"
    return f"{amount} per {period}" if period else amount


def _budget(line: str, dollars: str, period: str | None, amount_name: str, period_name: str) -> dict[str, Any]:
    amount = Decimal(dollars)
    if amount > LARGEST_BUDGET:
        raise ValidationError(f"“{line[:100]}”: a budget may be {LARGEST_BUDGET:,} US dollars at most.")
    if period is not None and not is_period(period):
        raise ValidationError(
            f"“{line[:100]}”: “{period}” is no period; write a number with h, d, w or mo, such as 1d or 1mo."
        )
    number = int(amount) if amount == amount.to_integral_value() else float(amount)
    return {amount_name: number, **({period_name: period} if period else {})}


class ObjectField(forms.JSONField):
    """A JSON object that `check` accepts; nothing is an empty one."""

    def __init__(self, *, check: Callable[[object], None], **kwargs: Any) -> None:
        self._check = check
        super().__init__(**{"required": False, "initial": dict, "widget": code_area(), **kwargs})

    def to_python(self, value: Any) -> Any:
        try:
            return super().to_python(value)
        except (ValueError, RecursionError) as error:  # a number of 5,000 digits, 100,000 brackets
            raise ValidationError(self.error_messages["invalid"], code="invalid") from error

    def bound_data(self, data: Any, initial: Any) -> Any:
        """What was typed, as it was typed: not all of it can be written again."""
        return None if data is None else InvalidJSONInput(data)

    def clean(self, value: Any) -> Any:
        found = super().clean(value)
        if found is not None:
            self._check(found)
        return found or {}

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(initial, data or "{}")


class DollarsField(forms.DecimalField):
    """US dollars, written without needless zeros."""

    def __init__(self, **kwargs: Any) -> None:
        widget = AdminTextInputWidget(attrs={"class": "number-input", "inputmode": "decimal"})
        widget.attrs["placeholder"] = "no limit"
        messages = {"min_value": AT_LEAST, "max_value": AT_MOST, "invalid": "Enter a number, such as 5 or 0.25."}
        limits = {"min_value": 0, "max_value": LARGEST_BUDGET, "max_digits": 18, "decimal_places": 8}
        super().__init__(**{"required": False, "widget": widget, "error_messages": messages, **limits, **kwargs})

    def prepare_value(self, value: Any) -> Any:
        return f"{value.normalize():f}" if isinstance(value, Decimal) else value


class CountField(forms.IntegerField):
    """A ceiling in whole numbers; empty is none."""

    def __init__(self, *, largest: int = LARGEST_INTEGER, **kwargs: Any) -> None:
        widget = AdminIntegerFieldWidget(attrs={"placeholder": "no limit"})
        messages = {"min_value": AT_LEAST, "max_value": AT_MOST}
        limits = {"min_value": 0, "max_value": largest}
        super().__init__(**{"required": False, "widget": widget, "error_messages": messages, **limits, **kwargs})


class PeriodField(forms.ChoiceField):
    """How often a budget starts anew; a period that was set elsewhere can be kept."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"required": False, "choices": period_choices(), **kwargs})

    def keep(self, period: str) -> None:
        """Offers this period too."""
        self.choices = period_choices(period)


Suggestions = Callable[[], Iterable[tuple[str, str]]]


class SuggestInput(AdminTextInputWidget):
    """A text for which the browser suggests what exists: pairs of a value and a name for people."""

    def __init__(self, suggestions: Suggestions, attrs: dict[str, Any] | None = None) -> None:
        self._suggestions = suggestions
        super().__init__({"autocomplete": "off", **(attrs or {})})

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        listed = f"{(attrs or {}).get('id', name)}_known"
        field = super().render(name, value, {**(attrs or {}), "list": listed}, renderer)
        options = format_html_join("", '<option value="{}">{}</option>', self._suggestions())
        return format_html('{}<datalist id="{}">{}</datalist>', field, listed, options)


def route_fault(line: str) -> str:
    """What is wrong with a route."""
    return _fault(validate_routes, line, f"is no path, such as /v1/embeddings, and none of {', '.join(ROUTE_GROUPS)}.")


def network_fault(line: str) -> str:
    """What is wrong with a network."""
    return _fault(validate_networks, line, "is no address and no network, such as 10.0.0.0/8.")


def _fault(check: Callable[[object], None], line: str, words: str) -> str:
    try:
        check([line])
    except ValidationError:
        return f"“{line[:100]}” {words}"
    return ""
