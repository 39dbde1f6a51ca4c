"""What the admin's templates are made of."""

import json
import re
from datetime import UTC, datetime

import pytest
from django import forms
from django.template import Context, Template

from gateway.templatetags.ui import amount, sparkline


def shown(source: str, **context: object) -> str:
    return Template("{% load ui %}" + source).render(Context(context))


def test_a_badge_says_its_word() -> None:
    assert "Healthy</span>" in shown("{% badge 'good' 'Healthy' %}")


def test_what_a_badge_says_is_text() -> None:
    assert "<b>" not in shown("{% badge 'good' word %}", word="<b>")


def test_a_time_is_machine_readable_and_in_utc() -> None:
    page = shown("{% when at %}", at=datetime(2026, 11, 21, 9, 30, tzinfo=UTC))
    assert '<time datetime="2026-11-21T09:30:00.000+00:00">2026-11-21 09:30:00 UTC</time>' in page


def test_a_time_that_is_not_known_is_a_dash() -> None:
    assert shown("{% when at %}", at=None) == "—"


def test_a_figure_has_its_unit() -> None:
    assert shown("{% figure 1234567 'tokens' %}") == (
        '<span class="number">1,234,567 <span class="unit">tokens</span></span>'
    )


def test_a_figure_may_have_decimals_and_no_unit() -> None:
    assert "0.25<" in shown("{% figure 0.25 decimals=2 %}")


def test_a_figure_that_is_not_known_is_a_dash() -> None:
    assert "—" in shown("{% figure nothing 'tokens' %}", nothing=None)


def test_a_sparkline_is_drawn_and_said() -> None:
    line = sparkline([0, 5, 10], "Calls, last 3 hours")
    assert 'aria-label="Calls, last 3 hours"' in line
    assert 'd="M0.0 26.0L60.0 14.0L120.0 2.0"' in line


def test_a_sparkline_has_gaps() -> None:
    assert sparkline([1, None, 1, 2], "x").count("M") == 2


def test_a_sparkline_of_nothing_is_a_dash() -> None:
    assert "<svg" not in sparkline([], "x")
    assert "<svg" not in sparkline([None, None], "x")


def test_a_sparkline_of_zeros_is_flat() -> None:
    assert 'd="M0.0 26.0L120.0 26.0"' in sparkline([0, 0], "x")


DATA = {
    "x": [1763715600, 1763719200],
    "series": [
        {"name": "calls", "unit": "calls", "values": [1, None]},
        {"name": "cost", "unit": "USD", "values": [0.5, 2]},
    ],
    "stacked": False,
    "kind": "line",
}


def test_a_chart_brings_its_data() -> None:
    page = shown("{% chart 'load' data 'Load' %}", data=DATA)
    found = re.search(r'<script id="load-data" type="application/json">(.*?)</script>', page)
    assert found
    assert json.loads(found[1]) == DATA
    assert 'data-chart="load-data"' in page


def test_a_chart_has_a_table_of_its_figures_newest_first() -> None:
    page = shown("{% chart 'load' data %}", data=DATA)
    assert "cost, USD" in page
    assert page.index("2025-11-21 10:00:00 UTC") < page.index("2025-11-21 09:00:00 UTC")


@pytest.mark.parametrize(
    ("dates", "head", "told"),
    [
        ("day", "Day (UTC)", "21 Nov 2025"),
        ("week", "Week from (UTC)", "21 Nov 2025"),
        ("month", "Month (UTC)", "November 2025"),
    ],
)
def test_dates_of_a_chart_are_no_times_that_a_zone_would_change(dates: str, head: str, told: str) -> None:
    page = shown("{% chart 'usage' data %}", data={**DATA, "x": [1763683200, 1763769600], "dates": dates})
    assert head in page
    assert f'<th scope="row">{told}</th>' in page
    assert "<time" not in page


def test_a_chart_without_figures_says_so() -> None:
    assert "No figures yet." in shown("{% chart 'load' data %}", data={**DATA, "x": []})


def test_lengths_of_time_have_one_rule() -> None:
    assert [shown("{% lasted ms %}", ms=ms) for ms in (None, 834, 10_477)] == ["—", "834 ms", "10.48 s"]


def test_amounts_have_the_decimals_that_make_sense() -> None:
    assert [amount(number) for number in (None, 3.0, 1234.5, 0.012)] == ["—", "3", "1,234", "0.012"]


class RowForm(forms.Form):
    alias = forms.CharField(label="Model alias")


def test_a_label_ends_without_a_colon() -> None:
    assert shown("{{ form.alias.label_tag|without_colon }}", form=RowForm()).endswith("Model alias</label>")


def test_an_input_of_a_table_has_its_columns_name() -> None:
    assert 'aria-label="Model alias"' in shown("{{ form.alias|named_by_column }}", form=RowForm())
