"""The sentences of the report in the situations that matter."""

import dataclasses
import json
import re
from typing import Any

import pytest

from pullbench.report.core import numbers, tables
from pullbench.report.core.slo_words import evidence_text
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.run import page, verdicts
from pullbench.report.run.best import choose, contenders
from pullbench.report.run.contrasts import contrasts
from pullbench.report.run.slos import slos, verdict_rows
from pullbench.report.run.verdicts import Headline, Summary, as_sentences
from tests.report.synthetic import Recipe

NEAR_AND_FAR = (("eu", "direct"), ("us", "direct"))


def headline(stored: StoredRun) -> Headline:
    cells = tables.cells(stored.pulls, stored.trials)
    return verdicts.headline(stored, cells, slos(stored, cells))


def small(**changes: object) -> Recipe:
    given = {
        "engines": ("wire",),
        "routes": NEAR_AND_FAR,
        "concurrency": (1,),
        "pulls": 4,
        "failure_rate": 0.0,
    } | changes
    return Recipe(**given)


def with_slo(stored: StoredRun, **slo: object) -> StoredRun:
    return dataclasses.replace(stored, spec={**stored.spec, "slo": slo})


def summary(stored: StoredRun) -> Summary:
    cells = tables.cells(stored.pulls, stored.trials)
    return verdicts.summary(stored, cells, slos(stored, cells))


def cell_of(stored: StoredRun, **factors: object) -> dict[str, Any]:
    cells = records(tables.cells(stored.pulls, stored.trials))
    (found,) = [cell for cell in cells if all(cell[name] == value for name, value in factors.items())]
    return found


def test_the_best_is_named_with_its_rate_interval_and_lead(make) -> None:
    stored = make(small())
    first, lead = summary(stored).best
    cell = cell_of(stored, registry="eu")
    assert first.startswith("wire, from eu: ")
    assert f"{numbers.significant(cell['images_per_s'])} images/s" in first and "95% CI" in first
    assert f"p50 {numbers.seconds(cell['median_s'])}" in first
    ratio = cell_of(stored, registry="eu")["wall_per_pull_s"] / cell_of(stored, registry="us")["wall_per_pull_s"]
    (share, low, high) = (float(found) for found in re.findall(r"([\d.]+)%", lead))
    assert "from us" in lead and low < share < high and share == pytest.approx(100 * ratio, rel=0.02)


def test_the_headline_has_one_sentence_for_cause_best_and_slo(full: StoredRun) -> None:
    said, all_of_it = headline(full), summary(full)
    assert said.clauses == (all_of_it.cause[0], f"Best: {all_of_it.best[0]}", all_of_it.slo[0])


def test_slos_that_are_met_make_a_run_ready(make) -> None:
    said = headline(with_slo(make(small()), mean_pull_s=30.0, consecutive_failures=3))
    assert said.status == "met" and said.title.startswith("Ready")
    assert "All 2 SLOs" in said.clauses[-1]


def test_without_an_slo_nothing_is_judged_and_the_title_is_the_best(make) -> None:
    stored = with_slo(make(small()))
    said = headline(stored)
    assert said.status == "not_shown"
    assert said.title.startswith(f"{numbers.significant(cell_of(stored, registry='eu')['images_per_s'])} images/s")
    assert not [clause for clause in said.clauses if "SLO" in clause]


def test_an_slo_that_a_configuration_misses_makes_no_run_ready(make) -> None:
    said = headline(with_slo(make(small()), mean_pull_s=1.0))
    assert said.status == "partly" and "us misses" in said.title


def test_of_many_configurations_that_miss_the_first_is_named_and_the_rest_counted(full: StoredRun) -> None:
    stored = with_slo(full, mean_pull_s=1.5)
    slow = verdict_rows(slos(stored, tables.cells(full.pulls, full.trials)))[0]["missed_by"]
    said = headline(stored)
    assert len(slow) == 1 and said.status == "partly" and slow[0] in said.title
    stored = with_slo(full, mean_pull_s=0.2)
    slow = verdict_rows(slos(stored, tables.cells(full.pulls, full.trials)))[0]["missed_by"]
    assert headline(stored).status == "missed"
    assert f"{len(slow)} configurations miss" in summary(stored).slo[-1]


def test_a_missed_slo_is_named_with_its_numbers(make) -> None:
    stored = with_slo(make(small()), mean_pull_s=0.01)
    (row,) = verdict_rows(slos(stored, tables.cells(stored.pulls, stored.trials)))
    said = headline(stored)
    assert said.status == "missed"
    assert "1 of 1 SLO" in said.clauses[-1] and "mean pull time" in said.clauses[-1]
    assert numbers.seconds(row["measured"]) in said.clauses[-1] and "10.0 ms" in said.clauses[-1]


def test_a_percentile_without_a_value_of_its_own_is_missed_by_its_bound(make) -> None:
    said = headline(with_slo(make(small()), p99_api_s=1e-4)).clauses[-1]
    assert "p99 API response time" in said and "at least" in said and "–" not in said


def test_too_few_pulls_leave_an_slo_inconclusive_and_say_how_many_are_needed(make) -> None:
    said = headline(with_slo(make(small()), success_rate=0.999))
    assert (said.status, "1 of 1 inconclusive" in said.title) == ("not_shown", True)
    assert "3,838 pulls" in said.clauses[-1]


def test_equal_routes_are_not_ranked(make) -> None:
    stored = make(small(noise=0.2, routes=(("us", "cache"), ("eu", "cache"))))
    assert "is significant: use" in summary(stored).best[0]


def with_wall_s(stored: StoredRun, wall_s: dict[tuple[str, int], list[float]]) -> StoredRun:
    """The run with a wall time a pull for each registry and concurrency, by block."""
    trials = stored.trials.copy()
    for index, row in trials.iterrows():
        trials.loc[index, "wall_s"] = (
            row["pulls"] * wall_s[row["registry"], row["concurrency"]][max(0, row["block"] - 1)]
        )
    return dataclasses.replace(stored, trials=trials)


def test_a_lead_over_one_of_many_configurations_is_corrected_for_all_of_them(make) -> None:
    first, second = [1.0, 1.0, 1.0, 1.0, 1.0], [1.1, 1.3, 1.15, 1.4, 1.05]
    two = with_wall_s(make(small()), {("eu", 1): first, ("us", 1): second})
    assert "(CI " in summary(two).best[1] and "significant" not in summary(two).best[1]
    wall_s = {("eu", 1): first, ("us", 1): second}
    wall_s |= {("us", n): [value * 1.001 for value in second] for n in (2, 4)}
    wall_s |= {("eu", n): [1.0, 1.6, 0.9, 1.7, 1.0] for n in (2, 4)}
    six = with_wall_s(make(small(concurrency=(1, 2, 4))), wall_s)
    assert "is significant: use" in summary(six).best[0]


def test_a_configuration_that_another_beats_is_not_as_good_as_a_fastest_that_varies(make) -> None:
    wall_s = {
        ("us", 2): [0.3, 1.2, 0.25, 1.3, 0.2],
        ("us", 1): [0.60, 0.61, 0.60, 0.62, 0.61],
        ("eu", 1): [1.00, 1.01, 1.02, 1.00, 1.01],
        ("eu", 2): [1.00, 1.01, 1.02, 1.00, 1.01],
    }
    stored = with_wall_s(make(small(concurrency=(1, 2))), wall_s)
    choice = choose(stored, tables.cells(stored.pulls, stored.trials))
    assert choice is not None
    assert set(zip(choice.tied["registry"], choice.tied["concurrency"], strict=True)) == {("us", 1), ("us", 2)}
    assert (choice.cell["registry"], choice.cell["concurrency"]) == ("us", 1)


def test_a_configuration_with_failures_beats_no_other(make) -> None:
    wall_s = {
        ("us", 2): [0.3, 1.2, 0.25, 1.3, 0.2],
        ("us", 1): [0.60, 0.61, 0.60, 0.62, 0.61],
        ("eu", 1): [1.00, 1.01, 1.02, 1.00, 1.01],
        ("eu", 2): [0.1] * 5,
    }
    stored = with_wall_s(make(small(concurrency=(1, 2))), wall_s)
    pulls, trials = stored.pulls.copy(), stored.trials.copy()
    failing = (trials["registry"] == "eu") & (trials["concurrency"] == 2) & (trials["block"] == 1)
    trials.loc[failing, "succeeded"] -= 1
    lost = pulls["trial"].isin(trials.loc[failing, "trial"]) & (pulls["pull"] == 0)
    pulls.loc[lost, "ok"], pulls.loc[lost, "error_code"] = False, "reset"
    stored = dataclasses.replace(stored, pulls=pulls, trials=trials)
    choice = choose(stored, tables.cells(stored.pulls, stored.trials))
    assert choice is not None
    assert (choice.cell["registry"], choice.cell["concurrency"]) == ("us", 1)
    assert set(zip(choice.tied["registry"], choice.tied["concurrency"], strict=True)) == {("us", 1), ("us", 2)}


def test_routes_that_differ_by_less_than_the_margin_are_as_good(make) -> None:
    near = {("eu", 1): [1.0, 1.0, 1.0, 1.01, 1.0], ("us", 1): [1.01, 1.01, 1.01, 1.01, 1.01]}
    said = summary(with_wall_s(make(small()), near)).best[0]
    assert "from us" in said and "less than 5%" in said


def test_a_configuration_with_failures_that_looked_faster_is_noted(make) -> None:
    stored = make(small())
    pulls, trials = stored.pulls.copy(), stored.trials.copy()
    failed = (pulls["registry"] == "eu") & (pulls["block"] == 1) & (pulls["pull"] == 0)
    pulls.loc[failed, "ok"], pulls.loc[failed, "error_code"] = False, "reset"
    of = (trials["registry"] == "eu") & (trials["block"] == 1)
    trials.loc[of, "succeeded"] -= 1
    said = summary(dataclasses.replace(stored, pulls=pulls, trials=trials))
    assert said.best[0].startswith("wire, from us: ")
    assert any(note.startswith("1 faster configuration ") for note in said.notes)
    assert any(note.startswith("1 pull of 40 failed") and "`reset`" in note for note in said.notes)


@pytest.mark.parametrize(
    ("codes", "asks"), [(("unknown", "reset", "reset"), 1), (("unknown",) * 3, 1), (("reset",) * 3, 0)]
)
def test_a_text_that_pullbench_does_not_know_is_noted_whole_with_its_count(
    make, codes: tuple[str, ...], asks: int
) -> None:
    stored = make(small())
    pulls, trials = stored.pulls.copy(), stored.trials.copy()
    rows, text = pulls.index[~pulls["warmup"].astype(bool)][:3], "a wholly new word: 42"
    pulls.loc[rows, "ok"], pulls.loc[rows, "error_code"], pulls.loc[rows, "error"] = False, list(codes), text
    trials["succeeded"] = trials["trial"].map(pulls.groupby("trial")["ok"].sum()).astype(int)
    notes = summary(dataclasses.replace(stored, pulls=pulls, trials=trials)).notes
    told = [note for note in notes if text in note]
    assert len(told) == asks
    assert all(numbers.count(codes.count("unknown"), "pull") in note for note in told)
    assert sum("maintainers" in note for note in notes) == asks


@pytest.mark.parametrize(("busy", "notes"), [("eu", "up to 95%"), ("us", "1 other configuration may be faster")])
def test_a_client_limit_is_noted_of_the_best_and_of_the_others(make, busy: str, notes: str) -> None:
    stored = make(small())
    limited = stored.trials["client_busy"].where(stored.trials["registry"] != busy, 0.95)
    said = summary(dataclasses.replace(stored, trials=stored.trials.assign(client_busy=limited)))
    assert said.best[0].startswith("wire, from eu: ")
    assert any("bottleneck in 1 of 2 configurations" in note for note in said.notes)
    assert any(notes.removeprefix("up to ") in note for note in said.notes)


@pytest.mark.parametrize("blocks", [1, 2])
def test_too_few_repetitions_give_no_interval_and_a_note(make, blocks: int) -> None:
    said = summary(make(small(blocks=blocks)))
    assert "95% CI" not in said.best[0]
    assert any(note.startswith(numbers.count(blocks, "repetition")) and "`repetitions`" in note for note in said.notes)


def test_where_nothing_can_be_chosen_nothing_is_best_and_the_title_is_the_time_of_a_pull(make) -> None:
    stored = make(small(routes=(("eu", "direct"),), slo={}))
    assert summary(stored).best == ()
    took = numbers.seconds(cell_of(stored, registry="eu")["median_s"])
    assert headline(stored).title.startswith(f"{took} a pull")


def test_the_platform_of_this_machine_is_the_one_compared(make) -> None:
    both = ("linux/amd64", "linux/arm64")
    stored = make(small(platforms=both))
    cells = tables.cells(stored.pulls, stored.trials)
    assert set(contenders(stored, cells)["platform"]) == {"linux/amd64"}


def test_a_run_that_failed_everywhere_says_why_and_what_to_do(make) -> None:
    said = headline(make(small(fail_everywhere=True)))
    assert (said.status, said.title) == ("failed", "Every pull failed")
    assert "None of 40 pulls" in said.clauses[0] and "`reset`" in said.clauses[0]
    remedy = as_sentences(tables.errors(make(small(fail_everywhere=True))).iloc[0]["remedy"])
    assert list(said.clauses[1:-1]) == remedy
    assert "`pullbench errors reset`" in said.clauses[-1]


def test_where_every_configuration_has_failures_none_is_recommended(make) -> None:
    (said,) = summary(make(small(routes=(("us", "direct"),), failure_rate=0.5))).best
    assert said.startswith("No configuration ") and "reset" in said


def planned(stored: StoredRun, trials: int) -> StoredRun:
    return dataclasses.replace(stored, run=dataclasses.replace(stored.run, trials_planned=trials))


@pytest.mark.parametrize("status", ["incomplete", "running", "complete", "failed"])
def test_a_run_that_lacks_trials_says_so_whatever_its_status(make, status: str) -> None:
    stored = planned(with_slo(make(small()), mean_pull_s=30.0), 40)
    said = headline(dataclasses.replace(stored, run=dataclasses.replace(stored.run, status=status)))
    assert "12 of 40 trials" in said.clauses[-1]
    assert "12 of 40 trials" in said.title
    assert said.status == "not_shown"


def test_an_incomplete_run_that_misses_an_slo_is_not_ready(make) -> None:
    said = headline(planned(with_slo(make(small(status="running")), mean_pull_s=0.01), 40))
    assert "1 of 1" in said.title and "12 of 40 trials" in said.title
    assert said.status == "missed"


def test_a_whole_run_is_not_called_incomplete(make) -> None:
    said = headline(make(small(status="running")))
    assert "incomplete" not in said.title + said.sentence


def test_a_run_of_which_only_warm_up_is_stored_says_so(make) -> None:
    said = headline(planned(make(small(blocks=0, status="running")), 12))
    assert said.title == "Nothing was measured"
    assert "2 of 12 trials" in said.clauses[0] and "--resume" in said.clauses[1]


def test_a_failed_preflight_is_named(make) -> None:
    stored = make(small())
    checks = stored.checks.assign(status=["fail", *["pass"] * (len(stored.checks) - 1)])
    nothing = {"trials": stored.trials.iloc[:0], "pulls": stored.pulls.iloc[:0]}
    said = headline(dataclasses.replace(stored, checks=checks, **nothing))
    assert "Not ready" in said.title and "preflight" in said.title
    assert "dns of eu" in said.clauses[0]


def test_a_run_without_a_trial_says_so(make) -> None:
    stored = make(small())
    nothing = {"trials": stored.trials.iloc[:0], "pulls": stored.pulls.iloc[:0]}
    assert headline(dataclasses.replace(stored, **nothing)).title == "Nothing was measured"


def test_users_engines_win_over_wire_which_unpacks_nothing(full: StoredRun) -> None:
    assert summary(full).best[0].startswith("docker, concurrency 4, ")
    assert "from eu" in summary(full).best[0]


def test_failures_of_another_engine_are_not_given_as_the_reason(make) -> None:
    stored = make(small(engines=("wire", "docker")))
    pulls, trials = stored.pulls.copy(), stored.trials.copy()
    docker = (pulls["engine"] == "docker") & (pulls["pull"] == 0)
    other = (pulls["engine"] == "wire") & (pulls["registry"] == "us")
    pulls.loc[docker | other, "ok"] = False
    pulls.loc[docker, "error_code"], pulls.loc[other, "error_code"] = "disk_full", "reset"
    trials.loc[trials["engine"] == "docker", "succeeded"] = 3
    said = dataclasses.replace(stored, pulls=pulls, trials=trials)
    best = summary(said).best[0]
    assert best.startswith("No configuration ") and "docker" in best and "disk_full" in best and "reset" not in best


def test_configurations_that_differ_in_auth_or_the_proxys_cache_have_different_names(full: StoredRun) -> None:
    cell = records(tables.cells(full.pulls, full.trials))[0] | {"proxy": "cache"}
    words = {
        tables.configuration(cell | {"auth": auth, "proxy_cache": proxy_cache})
        for auth in ("persisted", "per-pull")
        for proxy_cache in ("any", "cold", "warm")
    }
    assert len(words) == 6


def test_the_platform_of_this_machine_is_chosen(make) -> None:
    stored = make(small(platforms=("linux/amd64", "linux/arm64")))
    facts = json.dumps({"host_platform": "linux/arm64", "engines": [], "images": []})
    stored = dataclasses.replace(stored, run=dataclasses.replace(stored.run, facts=facts))
    cells = tables.cells(stored.pulls, stored.trials)
    assert set(contenders(stored, cells)["platform"]) == {"linux/arm64"}


def test_engines_that_unpack_contend_with_each_other_and_with_no_other(make) -> None:
    stored = make(small(engines=("docker", "podman", "wire")))
    cells = tables.cells(stored.pulls, stored.trials)
    assert set(contenders(stored, cells)["engine"]) == {"docker", "podman"}
    assert "docker and podman" in page.settings_table(stored, cells, choose(stored, cells))


def sentences(stored: StoredRun) -> list[str]:
    return [verdicts.contrast_sentence(row) for row in records(contrasts(stored))]


def test_comparisons_say_how_much_slower_or_faster(full: StoredRun) -> None:
    said = sentences(full)
    assert any(one.startswith("us takes ") and " eu (wire · direct)" in one for one in said)
    assert any(one.startswith("cache is ") and " direct (docker · us)" in one for one in said)
    assert any(one.startswith("A trial") and "concurrency 4" in one for one in said)


def test_a_comparison_of_two_blocks_is_none(make) -> None:
    (said,) = sentences(make(small(blocks=2)))
    assert said.startswith("us compared with") and "2 of the 3 " in said


@pytest.mark.parametrize(
    ("verdict", "words"),
    [("no_difference", "differ by less than 5%"), ("inconclusive", "inconclusive")],
)
def test_a_comparison_may_say_that_it_does_not_know(verdict: str, words: str) -> None:
    row = {"factor": "proxy", "baseline": "direct", "candidate": "cache", "within": "", "verdict": verdict}
    assert words in verdicts.contrast_sentence(row | {"ratio": 1.01, "low": 0.99, "high": 1.03, "blocks": 5})


def test_an_slo_names_the_configurations_that_miss_it(full: StoredRun) -> None:
    stored = with_slo(full, mean_pull_s=1.2, engines=["wire"])
    (row,) = verdict_rows(slos(stored, tables.cells(stored.pulls, stored.trials)))
    assert row["verdict"] == "met"
    said = evidence_text(row)
    assert row["settings"] == 6 and len(row["missed_by"]) == 2
    assert "6 configurations" in said and all(name in said for name in row["missed_by"])
