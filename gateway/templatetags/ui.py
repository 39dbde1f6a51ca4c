"""What the admin's templates are made of: badges, times, figures, sparklines and charts. Knows no model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django import template
from django.contrib.admin.helpers import InlineAdminFormSet
from django.forms import BoundField
from django.utils.html import format_html, json_script
from django.utils.safestring import SafeString, mark_safe

from common import admin as parts

register = template.Library()

WIDTH, HEIGHT, EDGE = 120, 28, 2
"""The sparkline's own measures, in SVG units; the stylesheet gives it its size."""
DATES = {"day": ("Day (UTC)", "j M Y"), "week": ("Week from (UTC)", "j M Y"), "month": ("Month (UTC)", "F Y")}
"""What the times of a chart by day, week or month are called in its figures, and how they are written."""


@register.simple_tag
def badge(kind: str, word: str, title: str = "") -> SafeString:
    """A small label: kind is good, warning, bad or quiet, and only adds a colour."""
    return parts.badge(kind, word, title)


@register.filter
def rows_told(formset: InlineAdminFormSet) -> str:
    """What Django's script reads of a table of forms; its button says "Add another deployment", as a sentence does."""
    told: dict[str, Any] = json.loads(formset.inline_formset_data())
    told["options"]["addText"] = f"Add another {formset.opts.verbose_name}"
    return json.dumps(told)


@register.simple_tag
def when(moment: datetime | None, empty: str = parts.DASH) -> SafeString | str:
    """A time in UTC, which a script shows in the viewer's zone with UTC on hover."""
    return parts.moment(moment, empty)


@register.simple_tag
def figure(number: float | None, unit: str = "", decimals: int = 0) -> SafeString:
    """A number with its thousands separated and its unit; a dash when it is not known."""
    if number is None:
        return format_html('<span class="number">{}</span>', parts.DASH)
    if not unit:
        return format_html('<span class="number">{}</span>', f"{number:,.{decimals}f}")
    return format_html('<span class="number">{} <span class="unit">{}</span></span>', f"{number:,.{decimals}f}", unit)


@register.simple_tag
def lasted(milliseconds: float | None) -> str:
    """A length of time, in the unit that suits it; a dash when it is not known."""
    return parts.duration(milliseconds)


@register.simple_tag
def sparkline(values: Sequence[float | None], label: str) -> SafeString:
    """A line without axes, drawn by the server. `label` is what it says to who cannot see it; None is a gap."""
    known = [value for value in values if value is not None]
    if len(values) < 2 or not known:
        return format_html('<span class="sparkline-none quiet" title="{}">{}</span>', label, parts.DASH)
    top = max(*known, 0) or 1
    paths = [_path(stretch) for stretch in _stretches(values, top)]
    return format_html(
        '<svg class="sparkline" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<title>{}</title><path class="sparkline-line" d="{}"/></svg>',
        WIDTH,
        HEIGHT,
        label,
        label,
        " ".join(paths),
    )


def _stretches(values: Sequence[float | None], top: float) -> Iterator[list[tuple[float, float]]]:
    """The points of the line, cut where a value is missing."""
    step, height = WIDTH / (len(values) - 1), HEIGHT - 2 * EDGE
    stretch: list[tuple[float, float]] = []
    for at, value in enumerate(values):
        if value is not None:
            stretch.append((at * step, HEIGHT - EDGE - value / top * height))
        elif stretch:
            yield stretch
            stretch = []
    if stretch:
        yield stretch


def _path(points: list[tuple[float, float]]) -> str:
    places = [f"{x:.1f} {y:.1f}" for x, y in points]
    return "M" + "L".join(places if len(places) > 1 else [*places, *places])


@register.inclusion_tag("admin/includes/chart.html")
def chart(element_id: str, data: Mapping[str, Any], caption: str = "") -> dict[str, Any]:
    """A chart that charts.js draws, with a table of its figures for who cannot see it, or wants the figures.

    `data`: `{"x": [Unix seconds], "series": [{"name", "unit", "values"}], "stacked": bool, "kind": "line" or "bars"}`;
    at most two different units. `"dates": "day"`, `"week"` or `"month"` where each x is the midnight of UTC at which
    one begins: it is then told as a date, the same in every zone. `caption` names the chart.
    """
    head, format_of_date = DATES.get(data.get("dates", ""), ("Time", ""))
    rows = [
        (datetime.fromtimestamp(at, UTC), [series["values"][index] for series in data["series"]])
        for index, at in enumerate(data["x"])
    ]
    return {
        "id": element_id,
        "caption": caption,
        "head": head,
        "format_of_date": format_of_date,
        "series": data["series"],
        "rows": rows[::-1],
        "json": json_script(dict(data), f"{element_id}-data"),
    }


@register.filter
def amount(number: float | None) -> str:
    """A figure of a table of figures: thousands separated, no more decimals than it has sense for."""
    if number is None:
        return parts.DASH
    return f"{number:,.0f}" if float(number).is_integer() or abs(number) >= 1000 else f"{number:,.4g}"


@register.filter
def without_colon(label: SafeString) -> SafeString:
    """A label's markup without the colon that Django puts behind its words."""
    return mark_safe(label.replace(":</label>", "</label>"))  # noqa: S308  # what was safe before, and less of it


@register.filter
def named_by_column(field: BoundField) -> SafeString:
    """An input of a table, where the column's heading is all the label it has: with that as its own name."""
    return field.as_widget(attrs={"aria-label": str(field.label)})
