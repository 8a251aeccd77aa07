"""Summaries for a chat or a pull request: the numbers of the documents, and foreign text that stays text."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pullbench.report.compare.runs import compare_runs
from pullbench.report.compare.verdict import comparison_document
from pullbench.report.run.documents import document_of
from pullbench.report.run.markdown import _with_code, comparison_summary, escape_markdown, run_summary
from tests.report.conftest import Make
from tests.report.synthetic import RUN_ID, STARTED_AT, Recipe

SMALL = Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1, 4), failure_rate=0.0)


@pytest.mark.promise("foreign text", "Foreign text in Markdown makes no markup and loads nothing")
def test_escape_markdown_makes_no_markup_and_calls_nobody() -> None:
    assert escape_markdown("a|b [x](javascript:1) <script>`") == "a\\|b \\[x\\](javascript:1) \\<script\\>\\`"
    assert escape_markdown("a\nb\x1b[31m") == "a b \\[31m"
    assert escape_markdown("cc @someone #12") == "cc \\@someone \\#12"
    assert escape_markdown("safe\u202egnp.exe") == "safe gnp.exe"
    assert len(escape_markdown("x" * 10_000)) == 500


def test_a_route_without_a_mirror_has_no_mirror_cache(make: Make) -> None:
    both = replace(SMALL, routes=(("us", "direct"), ("us", "cache")), proxy_cache=("warm",), concurrency=(1,), blocks=3)
    one, two = make(both), make(replace(both, seed=8, started_at=STARTED_AT + timedelta(days=1)))
    for page in (
        run_summary(document_of(one)),
        comparison_summary(comparison_document(compare_runs(one, two))),
    ):
        rows = [[part.strip() for part in line.split("|")] for line in page.splitlines() if line.startswith("| ")]
        assert {row[1]: row[2] for row in rows if row[1] in ("direct", "cache")} == {"direct": "–", "cache": "warm"}


def test_a_sentence_reads_as_written_where_nothing_renders_markdown() -> None:
    sentence = "82 images/s (95% interval 76.1–88.9 images/s)"
    assert escape_markdown(sentence) == sentence


def test_a_run_s_summary_has_its_verdict_objectives_and_settings(document: dict[str, Any]) -> None:
    text = run_summary(document)

    assert escape_markdown(document["headline"]["title"]) in text
    assert "| Success rate |" in text
    assert text.count("\n| wire |") + text.count("\n| docker |") == len(document["cells"])


def test_a_comparison_s_summary_names_both_runs_what_differs_and_every_setting(make: Make) -> None:
    later = replace(SMALL, run_id="later", started_at=STARTED_AT + timedelta(days=1), slower=1.5, pulls=9)
    document = comparison_document(compare_runs(make(SMALL), make(later)))

    text = comparison_summary(document)

    assert f"Candidate `later`, baseline `{RUN_ID}`" in text
    assert "- spec: pulls\\_per\\_trial" in text
    assert text.count("| slower |") == 2


def test_a_name_cannot_break_a_table(make: Make) -> None:
    stored = compare_runs(make(replace(SMALL, name="a|b\n## c")), make(replace(SMALL, name="a|b\n## c", run_id="l")))

    assert comparison_summary(comparison_document(stored)).splitlines()[0].startswith("## a\\|b \\#\\# c: ")


def test_names_in_backticks_stay_code_and_foreign_text_stays_text() -> None:
    assert _with_code("Set `slo:` in *spec*") == "Set `slo:` in \\*spec\\*"
    assert _with_code("a lone ` is *text*") == "a lone \\` is \\*text\\*"
