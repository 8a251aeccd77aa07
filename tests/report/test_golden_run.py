"""The wording of a benchmark's verdict, on a terminal, in Markdown and on the page: golden pages, and the rules for words."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from pullbench.cli.terminal.console import print_verdict, verdict_block
from pullbench.cli.terminal.tables import result_table
from pullbench.report.core.stored import StoredRun
from pullbench.report.run.documents import document_of
from pullbench.report.run.markdown import run_summary
from pullbench.report.run.page import RunPage
from tests.report.synthetic import Recipe
from tests.words import plain_words_faults, text_of

Golden = Callable[[str, str], None]
MOST_LINES = 11
"""Of the block on a terminal; the report's path is the twelfth."""
SLO = {"success_rate": 0.999, "p95_pull_s": 1.0, "p99_api_s": 2.0, "consecutive_failures": 3}


@pytest.fixture(scope="module")
def run(make: Callable[[Recipe], StoredRun]) -> StoredRun:
    return make(Recipe(concurrency=(1, 4), slo=SLO))


@pytest.fixture(scope="module")
def document(run: StoredRun) -> dict[str, Any]:
    return document_of(run)


def terminal(document: dict[str, Any], width: int) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, color_system=None, highlight=False)
    console.print(result_table(document))
    console.print()
    print_verdict(console, document)
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def page_text(run: StoredRun) -> str:
    """The sections without drawings."""
    page = RunPage(run)
    sections = (
        *(page.header(), page.slo(), page.where_the_time_goes(), page.to_do(), page.unknown(), page.configurations()),
        *(page.concurrency_choice(), page.payback(), page.comparisons(), page.errors(), page.stability()),
        *(page.rules_of_thumb(), page.preflight(), page.excluded(), page.method()),
    )
    return text_of("".join(sections))


def drawings_text(run: StoredRun) -> str:
    page = RunPage(run)
    drawings = (
        *(page.overview(), page.concurrency(), page.places(), page.break_even(), page.contrasts(), page.over_time()),
        *(page.spread(), page.inside_a_pull(), page.checks()),
    )
    return text_of("".join(drawings))


@pytest.mark.parametrize("width", [80, 120])
def test_golden_terminal(document: dict[str, Any], golden: Golden, width: int) -> None:
    golden(f"terminal/run-{width}.txt", terminal(document, width))


def test_golden_summary(document: dict[str, Any], golden: Golden) -> None:
    golden("report/run-summary.md", run_summary(document))


def test_golden_page(run: StoredRun, golden: Golden) -> None:
    golden("report/run-page.txt", page_text(run))


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_block_has_twelve_lines_at_most_with_the_report(document: dict[str, Any], width: int) -> None:
    lines = [line.plain for line in verdict_block(document, width)]
    titles = [line.split()[0] for line in lines if line[:1].isupper()]
    assert titles == ["TIME", "BEST", "SLO", "NOTES"]
    assert max(map(len, lines)) <= width
    if width >= 80:
        assert len(lines) <= MOST_LINES


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(concurrency=(1, 4), slo=SLO),
        Recipe(concurrency=(1,), blocks=1, pulls=1, engines=("wire",), slo={}),
        Recipe(concurrency=(1, 2), fail_everywhere=True, slo=SLO),
        Recipe(concurrency=(1,), blocks=3, pulls=2, proxy_cache=("any", "cold", "warm"), slo={"p50_pull_s": 9.0}),
    ],
    ids=["full", "one pull", "all failed", "mirror"],
)
def test_what_a_reader_sees_is_in_plain_words(make: Callable[[Recipe], StoredRun], recipe: Recipe) -> None:
    run = make(recipe)
    document = document_of(run)
    for text in (terminal(document, 100), run_summary(document), page_text(run), drawings_text(run)):
        assert plain_words_faults(text) == []
