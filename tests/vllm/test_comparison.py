"""Every endpoint through the gateway and directly: the same status, headers and bytes."""

from __future__ import annotations

import pytest

from gateway import paths, routes
from tests.vllm.cases import CASES
from tests.vllm.comparing import Case, compare
from tests.vllm.conftest import Site

pytestmark = pytest.mark.vllm

ALL = [pytest.param(kind, case, id=f"{kind}: {case}") for kind, cases in CASES.items() for case in cases]


@pytest.mark.parametrize(("site", "case"), ALL, indirect=["site"])
def test_the_gateways_answer_is_the_servers_own(site: Site, case: Case) -> None:
    compare(site, case)


def test_every_row_of_the_catalogue_is_compared() -> None:
    compared = {row for cases in CASES.values() for case in cases if (row := _row(case)) is not None}
    assert {row.template for row in routes.ROUTES if row not in compared} == {"/metrics{rest:path}"}


def test_every_method_of_a_row_is_compared() -> None:
    compared = {(case.call.method, row) for cases in CASES.values() for case in cases if (row := _row(case))}
    missing = {
        (method, row.template) for row in routes.ROUTES for method in row.methods if (method, row) not in compared
    }
    assert missing == {("POST", "/fault_tolerance{rest:path}")}


def _row(case: Case) -> routes.Route | None:
    target = paths.parse(f"/vllm{case.call.target}")
    return routes.find(case.call.method, target.route).route
