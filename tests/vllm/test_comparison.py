"""Every endpoint through the gateway and directly: the same status, headers and bytes."""

from __future__ import annotations

import pytest

from gateway import paths, routes
from tests.vllm.cases import CASES
from tests.vllm.comparing import Case, compare, normalised
from tests.vllm.conftest import Site

pytestmark = pytest.mark.vllm

ALL = [pytest.param(kind, case, id=f"{kind}: {case}") for kind, cases in CASES.items() for case in cases]


@pytest.mark.parametrize(("site", "case"), ALL, indirect=["site"])
def test_the_gateways_answer_is_the_servers_own(site: Site, case: Case) -> None:
    compare(site, case)


def test_every_method_of_every_row_of_the_catalogue_is_compared() -> None:
    compared = {(case.call.method, row) for cases in CASES.values() for case in cases if (row := _row(case))}
    # The open-ended rows stand for what vLLM may yet put below their first segment.
    rows = [row for row in routes.ROUTES if ":path" not in row.template or "DELETE" in row.methods]
    assert {(method, row.template) for row in rows for method in row.methods if (method, row) not in compared} == set()


def test_normalising_hides_no_number_but_times() -> None:
    assert normalised(b'{"created":1795214804,"n":12}') == b'{"created":TIME,"n":12}'


def test_normalising_hides_no_id_that_the_caller_chose() -> None:
    assert normalised(b'"chatcmpl-cmp-0123456789ab"') == b'"chatcmpl-cmp-0123456789ab"'


def _row(case: Case) -> routes.Route | None:
    target = paths.parse(f"/vllm{case.call.target}")
    return routes.find(case.call.method, target.route).route
