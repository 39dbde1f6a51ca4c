from collections.abc import Callable
from decimal import Decimal

import pytest
from django import forms
from django.core.exceptions import ValidationError

from keys.admin_fields import (
    BudgetsField,
    CountField,
    DollarsField,
    LinesField,
    ModelBudgetsField,
    ModelLimitsField,
    PeriodField,
    SuggestInput,
    network_fault,
    route_fault,
)
from keys.admin_group_forms import MembersField

ADA = {"user_id": "ada", "user_email": "ada@example.com", "role": "admin"}
TOM = {"user_id": "tom", "user_email": None, "role": "user"}


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        (ModelLimitsField(), "qwen-* = 60\n\n org/model:7b=0 ", {"qwen-*": 60, "org/model:7b": 0}),
        (BudgetsField(), "2 per 1h\n$ 0.25 per 30d\n10", [
            {"max_budget": 2, "budget_duration": "1h"},
            {"max_budget": 0.25, "budget_duration": "30d"},
            {"max_budget": 10},
        ]),
        (ModelBudgetsField(), "qwen-* = 5 per 1d\na=b = 1", {
            "qwen-*": {"budget_limit": 5, "time_period": "1d"},
            "a=b": {"budget_limit": 1},
        }),
        (MembersField(), "ada <ada@example.com>, admin\ntom", [ADA, TOM]),
        (LinesField(), " a \r\nb\na", ["a", "b"]),
    ],
)  # fmt: skip
def test_lines_are_read_and_written_again(field: LinesField, text: str, value: object) -> None:
    assert field.clean(text) == value
    assert field.clean(field.prepare_value(value)) == value
    assert not field.has_changed(value, field.prepare_value(value))


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        (ModelLimitsField(), "qwen", "cannot be understood; write it like qwen-* = 60"),
        (ModelLimitsField(), "qwen = -1", "cannot be understood"),
        (ModelLimitsField(), "qwen = 9999999999", "2,147,483,647 at most"),
        (ModelLimitsField(), "a = 1\na = 2", "named twice"),
        (BudgetsField(), "two per 1h", "cannot be understood; write it like 2 per 1h"),
        (BudgetsField(), "2 per 1y", "is no period"),
        (BudgetsField(), "999999999", "100,000,000 US dollars at most"),
        (BudgetsField(), "²", "cannot be understood"),
        (ModelBudgetsField(), "5 per 1d", "cannot be understood; write it like qwen-* = 5 per 1d"),
        (ModelBudgetsField(), "qwen = 5 per 0d", "is no period"),
        (MembersField(), ", admin", "cannot be understood"),
        (MembersField(), "x" * 129, "cannot be understood"),
        (LinesField(), "a\0b", "cannot be stored"),
        (LinesField(fault=network_fault), "10.0.0/8", "is no address and no network"),
        (LinesField(fault=route_fault), "embeddings", "is no path"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(field: LinesField, text: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words.replace("*", r"\*")):
        field.clean(text)
    assert field.has_changed(field.clean(""), text)


@pytest.mark.parametrize("fault", [network_fault, route_fault])
def test_what_is_right_has_no_fault(fault: Callable[[str], str]) -> None:
    right = {network_fault: ("10.0.0.0/8", "2001:db8::1"), route_fault: ("/vllm/*", "openai_routes")}
    assert not any(fault(line) for line in right[fault])


def test_dollars_are_written_without_needless_zeros() -> None:
    assert DollarsField().prepare_value(Decimal("500.00000000")) == "500"
    assert not DollarsField().has_changed(Decimal("5.00000000"), "5")


@pytest.mark.parametrize("text", ["-1", "NaN", "Infinity", "1e9", "100000001", "0.123456789", "x", "9" * 5000])
def test_money_that_a_budget_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        DollarsField().clean(text)


@pytest.mark.parametrize("text", ["-1", "1.5", "x", "2147483648", "9" * 5000])
def test_a_count_that_a_limit_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        CountField().clean(text)


def test_a_period_that_was_set_elsewhere_can_be_kept() -> None:
    field = PeriodField()
    with pytest.raises(ValidationError):
        field.clean("5h")
    field.keep("5h")
    assert field.clean("5h") == "5h"


def test_suggestions_are_escaped() -> None:
    class Form(forms.Form):
        team = forms.CharField(widget=SuggestInput(lambda: [('"><b>', "<i>")]))

    html = str(Form()["team"])
    assert 'list="id_team_known"' in html
    assert '<datalist id="id_team_known"><option value="&quot;&gt;&lt;b&gt;">&lt;i&gt;</option></datalist>' in html
