import pytest

from keys.storable import unstorable


@pytest.mark.parametrize("value", [None, 1, 10**60, 1.5e300, "ü\U0001f600", {"a": [[{"b": "c"}]]}, []])
def test_what_every_database_keeps(value: object) -> None:
    assert unstorable(value) is None


@pytest.mark.parametrize(
    "value", ["\0", "\ud800", float("nan"), float("inf"), {"\0": 1}, {"a": ["\udfff"]}, [[["\0"]]]]
)
def test_what_one_of_them_refuses(value: object) -> None:
    assert unstorable(value)


def test_depth_is_bounded() -> None:
    value: object = "bottom"
    for _ in range(100):
        value = [value]
    assert unstorable(value) == "The value is nested too deeply."
