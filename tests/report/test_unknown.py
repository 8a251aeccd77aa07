"""What a run cannot show is one list on its page."""

import dataclasses
from collections.abc import Callable

import pytest

from pullbench.report.core.stored import StoredRun
from pullbench.report.run.page import RunPage
from pullbench.report.run.unknown import unknowns
from tests.report.synthetic import Recipe

Make = Callable[[Recipe], StoredRun]


def said(stored: StoredRun) -> list[str]:
    page = RunPage(stored)
    return unknowns(stored, page.cells, page.summary.limits, page.paid, page.summary.phases)


def at(stored: StoredRun, url: str) -> StoredRun:
    return dataclasses.replace(stored, spec={**stored.spec, "registries": [{"name": "eu", "url": url}]})


@pytest.mark.parametrize(("url", "here"), [("http://127.0.0.1:5000", 1), ("https://registry.example.com", 0)])
def test_a_registry_on_this_machine_is_on_the_page(make: Make, url: str, here: int) -> None:
    stored = at(make(Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1,))), url)
    assert sum("on this machine too" in each for each in said(stored)) == here
    limited = dataclasses.replace(stored, trials=stored.trials.assign(client_busy=0.95))
    assert sum("on this machine too" in each for each in said(limited)) == here
    assert any("bottleneck" in each for each in said(limited)), "what the console has as a note"
    assert not any("bottleneck" in each for each in said(stored))


def test_each_note_that_is_no_failure_is_an_entry_once(full: StoredRun) -> None:
    page = RunPage(full)
    found = said(full)
    assert set(page.summary.limits) <= set(page.summary.notes) & set(found)
    assert not any("failed" in each for each in page.summary.limits)
    assert len(found) == len(set(found))


@pytest.mark.parametrize(("pulls", "needed"), [(4, ["40"]), (8, ["200"]), (40, [])])
def test_a_percentile_that_is_missing_says_how_many_pulls_it_takes(make: Make, pulls: int, needed: list[str]) -> None:
    stored = make(Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1,), pulls=pulls, failure_rate=0))
    found = [each for each in said(stored) if "it needs" in each]
    assert [word for each in found for word in each.split() if word.isdecimal() and int(word) > 20] == needed


def test_the_section_is_where_other_sections_link_to(make: Make) -> None:
    made = RunPage(at(make(Recipe(concurrency=(1,))), "http://127.0.0.1:1"))
    assert 'href="#what-this-run-cannot-show"' in made.rules_of_thumb()
    assert made.unknown().count("<li>") == len(said(made.stored))
