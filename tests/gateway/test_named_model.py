"""The model in a query is read and replaced, and nothing else of it changes."""

import pytest

from gateway.named_model import in_query, replaced


@pytest.mark.parametrize(
    ("query", "model"),
    [
        ("model=a", "a"),
        ("x=1&model=org%2Fa+b&y", "org/a b"),
        ("model=a&model=b", "b"),
        ("model=", None),
        ("remodel=a", None),
        ("x=model=a", None),
        ("", None),
    ],
)
def test_a_query_names_its_model(query: str, model: str | None) -> None:
    assert in_query(query) == model


def test_only_the_model_is_replaced() -> None:
    assert replaced("/p?x=%2f&model=a&y=+&&z", "org/b c") == "/p?x=%2f&model=org%2Fb%20c&y=+&&z"
    assert replaced("/model=a", "b") == "/model=a"
