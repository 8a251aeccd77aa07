"""The sections of what was found."""

import dataclasses
import re

from pullbench.report.core import sections, tables
from pullbench.report.core.stored import StoredRun
from pullbench.report.render.html import marked
from pullbench.report.run import page
from pullbench.report.run.slos import slos, verdict_rows
from pullbench.report.run.verdicts import headline
from tests.report.synthetic import Recipe


def cells_section(stored: StoredRun) -> str:
    return page.RunPage(stored).configurations()


def test_another_engine_is_told_apart_as_other_work_by_its_kind(make, full: StoredRun) -> None:
    assert "different work" in cells_section(full)
    one = make(Recipe(engines=("docker",), concurrency=(1, 2), blocks=3, pulls=2, routes=(("eu", "direct"),)))
    names = {1: "docker-1", 2: "docker-2"}
    two = dataclasses.replace(
        one,
        trials=one.trials.assign(engine=one.trials["concurrency"].map(names)),
        pulls=one.pulls.assign(engine=one.pulls["concurrency"].map(names)),
    )
    assert "docker-1" in cells_section(two)
    assert "different work" not in cells_section(two)


def test_a_card_says_over_how_many_configurations_its_number_is(full: StoredRun) -> None:
    rows = verdict_rows(slos(full, tables.cells(full.pulls, full.trials)))
    made = sections.scorecard(rows)
    assert [row["engine"] for row in rows] == ["docker", "docker", "wire", "docker"]
    assert made.count("6 configurations") == 4 and made.count("<li") == 4
    assert "at least 99.9%" in made and "fewer than 3" in made


def test_each_sentence_of_a_remedy_has_a_line_in_the_head_of_the_page(make) -> None:
    stored = make(Recipe(engines=("docker",), concurrency=(1,), blocks=3, pulls=2, fail_everywhere=True))
    stored = dataclasses.replace(stored, pulls=stored.pulls.assign(error_code="tls_timeout"))
    cells = tables.cells(stored.pulls, stored.trials)
    said = headline(stored, cells, slos(stored, cells))
    assert len(said.clauses) > 2 and "`tls_timeout`" in said.clauses[0]
    shown = re.findall(r"<p>(.*?)</p>", page.header_of(stored, cells, slos(stored, cells)).partition("verdict")[2])
    assert len(shown) == 1 + len(said.clauses) and "<code>tls_timeout</code>" in shown[1]


def test_a_run_that_is_ready_in_part_is_not_shown_as_good(full: StoredRun) -> None:
    stored = dataclasses.replace(full, spec={**full.spec, "slo": {"mean_pull_s": 1.9}})
    cells = tables.cells(stored.pulls, stored.trials)
    made = page.header_of(stored, cells, slos(stored, cells))
    assert 'class="verdict warn"' in made and "Not ready everywhere: " in made


def test_the_median_stands_right_after_the_factors_and_beside_its_bar(full: StoredRun) -> None:
    made = cells_section(full)
    heads = re.findall(r"<th[^>]*>([^<]+)</th>", made)
    assert heads.index("p50") + 2 == heads.index("95% CI") + 1 == heads.index("images/s") < heads.index("Pulls")
    assert re.search(r'class="bar" style="--share: [\d.]+%"></span><span class="beside">\d', made)


def test_a_mirror_that_was_not_as_labelled_or_not_shown_is_noted(full: StoredRun) -> None:
    assert "mirror not" not in cells_section(full)
    trials, pulls = full.trials.copy(), full.pulls.copy()
    through = trials["proxy"] == "cache"
    trials.loc[through, "proxy_cache"] = "warm"
    pulls.loc[pulls["proxy"] == "cache", "proxy_cache"] = "warm"
    trials.loc[through, "proxy_cache_found"] = "warm"
    trials.loc[through & (trials["block"] == 1), "proxy_cache_found"] = "mixed"
    trials.loc[through & (trials["block"] == 2), "proxy_cache_found"] = None
    made = cells_section(dataclasses.replace(full, trials=trials, pulls=pulls))
    assert "mirror not warm in 1 trial<" in made
    assert "not verified" in made


def test_the_verdict_is_told_clause_by_clause(full: StoredRun) -> None:
    cells = tables.cells(full.pulls, full.trials)
    made = page.header_of(full, cells, slos(full, cells))
    (verdict,) = re.findall(r'<div class="verdict [a-z]+">(.*?)</div>', made)
    title, *clauses = re.findall("<p>(.*?)</p>", verdict)
    assert title.startswith("<strong>") and len(clauses) >= 2
    assert clauses == [str(marked(clause)) for clause in headline(full, cells, slos(full, cells)).clauses]


def test_a_run_without_a_pull_has_no_rules_of_thumb_and_says_that_none_was_made(full: StoredRun) -> None:
    nothing = dataclasses.replace(full, trials=full.trials.iloc[:0], pulls=full.pulls.iloc[:0])
    made = page.RunPage(nothing)
    assert made.rules_of_thumb() == "" and made.errors() == '<p class="note">No pull was made.</p>'
    assert page.RunPage(full).rules_of_thumb() != ""


def test_a_name_of_ten_thousand_characters_is_cut_in_the_head(full: StoredRun) -> None:
    long = dataclasses.replace(full.run, name="n" * 10_000, vantage="v" * 10_000, labels={"l" * 5_000: "x" * 5_000})
    stored = dataclasses.replace(full, run=long)
    cells = tables.cells(full.pulls, full.trials)
    made = page.header_of(stored, cells, slos(full, cells))
    assert max(map(len, re.findall(">([^<]*)<", made))) < 1_000
