"""Tests of gateway.end_users."""

from __future__ import annotations

import pytest

from gateway.end_users import HEADERS, named_in


def environ(**headers: str) -> dict[str, object]:
    return {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}


def test_the_first_header_that_is_filled_names_the_end_user() -> None:
    everything = {name: f"from {name}" for name in HEADERS}
    for name in HEADERS:
        assert named_in(environ(**everything)) == f"from {name}"
        everything[name] = " "
    assert named_in(environ(**everything)) is None
    assert named_in({}) is None


@pytest.mark.parametrize(("header", "named"), [("x-openwebui-user-email", "ä@b"), ("x-end-user-id", "%C3%A4@b")])
def test_open_webui_escapes_what_it_sends(header: str, named: str) -> None:
    assert named_in(environ(**{header: "%C3%A4@b"})) == named


def test_a_name_is_cut_to_what_a_column_holds() -> None:
    assert named_in(environ(**{"x-end-user-id": "x" * 500})) == "x" * 128
