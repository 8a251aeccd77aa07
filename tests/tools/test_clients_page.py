"""docs/clients.md holds what the records of two integration runs hold, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.client_record import note, record_of
from tools import clients_page

STABLE = {
    "debian": "bookworm",
    "python": "3.11.2",
    "clients": {"docker": "20.10.24", "podman": "4.3.1"},
    "tests": {"test_every_engine": {"passed": 12}, "test_serve": {"passed": 9}},
    "facts": {"podman": {"requests": {"plain": 4}, "blobs": {"plain": 3}, "times": {"pulls": 1, "`extract_s`": 1}}},
}
MODERN = {
    "debian": "sid",
    "python": "3.14.10",
    "clients": {"docker": "28.5.2", "podman": "5.8.6", "crane": "0.20.7"},
    "tests": {"test_every_engine": {"failed": 1, "passed": 14}},
    "facts": {
        "podman": {"requests": {"plain": 5, "zstd": 6}, "blobs": {"plain": 3, "zstd": 3}},
        "containerd": {"requests": {"plain": 7}, "blobs": {"plain": 3}},
    },
}


def rows(page: str) -> list[list[str]]:
    return [[part.strip() for part in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    (tmp_path / "stable.json").write_text(json.dumps(STABLE))
    (tmp_path / "modern.json").write_text(json.dumps(MODERN))
    monkeypatch.setattr(clients_page, "_RECORDS", tmp_path)
    return rows(clients_page.clients_page())


def test_the_older_python_is_the_first_column(page: list[list[str]]) -> None:
    assert page[0] == ["client", "Debian bookworm", "Debian sid"]
    assert ["Python", "3.11.2", "3.14.10"] in page


def test_a_client_that_one_of_them_lacks_has_a_dash_there(page: list[list[str]]) -> None:
    assert ["crane", "–", "0.20.7"] in page


def test_the_requests_of_a_cold_pull_stand_by_client_release_and_kind_of_image(page: list[list[str]]) -> None:
    assert ["client", "Debian", "plain", "zstd"] in page
    assert ["podman", "bookworm", "4 (3)", "–"] in page
    assert ["podman", "sid", "5 (3)", "6 (3)"] in page
    assert ["containerd", "sid", "7 (3)", "–"] in page
    assert not any(row[:2] == ["containerd", "bookworm"] for row in page), "it was not there"


def test_a_time_that_is_known_of_some_pulls_says_of_how_many(page: list[list[str]]) -> None:
    assert ["podman", "bookworm", "1 of 1"] in page


def test_tests_that_only_stable_runs_are_left_out(page: list[list[str]]) -> None:
    assert ["`test_every_engine.py`", "12", "14"] in page
    assert not any("test_serve" in row[0] for row in page)


def test_the_committed_page_is_that_of_the_committed_records() -> None:
    root = Path(__file__).parents[2]
    assert (root / "docs" / "clients.md").read_text(encoding="utf-8") == clients_page.clients_page()


def report(outcome: str, *properties: tuple[str, Any], when: str = "call") -> pytest.TestReport:
    return pytest.TestReport(
        nodeid="tests/integration/test_a.py::test_b",
        location=("tests/integration/test_a.py", 1, "test_b"),
        keywords={},
        outcome=outcome,  # type: ignore[arg-type]
        longrepr=None,
        when=when,  # type: ignore[arg-type]
        user_properties=properties,
    )


def test_the_record_counts_a_test_once_and_keeps_its_facts() -> None:
    properties: list[tuple[str, Any]] = []
    for seen in (3, 4, 3):
        note(lambda name, value: properties.append((name, value)), "podman", "requests", "zstd", seen)
    record = record_of([report("passed", when="setup"), report("passed", *properties), report("skipped", when="setup")])
    assert record["tests"] == {"test_a": {"passed": 1, "skipped": 1}}
    assert record["facts"] == {"podman": {"requests": {"zstd": 4}}}
    assert record["python"].count(".") == 2
