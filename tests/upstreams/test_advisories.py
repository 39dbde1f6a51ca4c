"""Which advisories concern a version, and whether the list that is shipped can be trusted to say so."""

import datetime

import pytest

from upstreams.advisories import SEVERITIES, known, parsed, remedy


def ids(version: str) -> set[str]:
    return {one.id for one in known().of(version) or []}


def test_a_version_between_the_first_and_the_mended_one_is_affected() -> None:
    assert "CVE-2026-48746" in ids("0.21.0")
    assert "CVE-2026-48746" not in ids("0.22.0")
    assert "CVE-2026-48746" not in ids("0.2.7")


def test_without_a_first_version_all_before_the_mended_one_are_affected() -> None:
    assert "CVE-2025-59425" in ids("0.1")


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("0.9.2", "0.10.0"),
        ("0.22.0rc1", "0.22.0"),
        ("0.11.1.dev12+gabc", "0.11.1"),
        ("0.6.3", "0.6.3.1"),
        ("v0.6.3", "0.6.4"),
    ],
)
def test_versions_are_compared_by_their_numbers(lower: str, higher: str) -> None:
    assert parsed(lower) < parsed(higher)


@pytest.mark.parametrize("version", ["0.22", "0.22.0.post1", "0.22.0+cu129"])
def test_what_is_added_to_a_release_is_no_earlier_version(version: str) -> None:
    assert "CVE-2026-48746" not in ids(version)


def test_a_version_that_is_none_is_not_compared() -> None:
    assert known().of("unknown") is None


def test_the_worst_comes_first_and_one_version_mends_all() -> None:
    found = known().of("0.9.1")
    assert found[0].severity == "critical"
    assert known().of(remedy(found)) == [one for one in known().rows if one.concerns(parsed(remedy(found)))]
    assert all(parsed(one.fixed) <= parsed(remedy(found)) for one in found)


def test_each_entry_names_its_source_and_a_range_of_versions() -> None:
    assert datetime.date.fromisoformat(known().as_of)
    for one in known().rows:
        assert one.source.startswith("https://")
        assert one.severity is None or one.severity in SEVERITIES
        assert parsed(one.introduced or "0") < parsed(one.fixed)
        assert one.summary.endswith(".")


def test_no_advisory_is_listed_twice() -> None:
    assert len({one.id for one in known().rows}) == len(known().rows)
