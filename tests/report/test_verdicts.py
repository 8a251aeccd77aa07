"""The sentences of the report in the situations that matter."""

import dataclasses
import json
import re

import pytest

from pullbench.report.core import tables
from pullbench.report.core.slo_words import evidence_text
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.run import page, verdicts
from pullbench.report.run.contrasts import contrasts
from pullbench.report.run.slos import slos, verdict_rows
from pullbench.report.run.verdicts import Headline, contenders
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


def test_the_winner_is_named_with_its_lead_and_interval(make) -> None:
    said = headline(make(small())).sentence
    assert said.startswith("Fastest by time per image is wire from eu directly, one pull at a time: an image every ")
    assert "95% interval" in said
    assert re.search(
        r" [34]\.\d\d times \([\d.]+–[\d.]+\) as fast as the best other route, wire from us directly", said
    ), said


def test_slos_that_are_met_make_a_run_ready(make) -> None:
    assert headline(with_slo(make(small()), mean_pull_s=30.0, consecutive_failures=3)).status == "met"


def test_an_slo_that_a_configuration_misses_makes_no_run_ready(make) -> None:
    said = headline(with_slo(make(small()), mean_pull_s=1.0))
    assert said.status == "partly"
    assert "us" in said.title.split() and "mean pull time" in said.sentence


def test_of_many_configurations_that_miss_the_first_are_named_and_the_rest_counted(full: StoredRun) -> None:
    said = headline(with_slo(full, mean_pull_s=1.2, engines=["wire"]))
    cells = tables.cells(full.pulls, full.trials)
    slow = verdict_rows(slos(with_slo(full, mean_pull_s=1.2, engines=["wire"]), cells))[0]["missed_by"]
    assert len(slow) == 2 and said.status == "partly"
    assert slow[0] in said.title and slow[1] not in said.title and "1 more" in said.title
    said = headline(with_slo(full, mean_pull_s=0.2))
    slow = verdict_rows(slos(with_slo(full, mean_pull_s=0.2), cells))[0]["missed_by"]
    assert said.status == "missed"
    assert f"missed by {slow[0]}, {slow[1]}, {slow[2]} and {len(slow) - 3} more" in said.sentence


def test_what_is_met_in_all_and_not_shown_by_each_is_said(make) -> None:
    stored = make(small(blocks=4))
    said = headline(with_slo(stored, success_rate=0.87))
    assert said.status == "met"
    assert "inconclusive" in said.clauses[-1]


def test_a_missed_slo_is_named_with_its_numbers(make) -> None:
    said = headline(with_slo(make(small()), mean_pull_s=0.01))
    assert said.status == "missed"
    assert "1 of 1" in said.title
    assert "mean pull time of wire" in said.sentence and "at most 10.0 ms" in said.sentence


def test_a_percentile_without_a_value_of_its_own_is_missed_by_its_bound(make) -> None:
    stored = with_slo(make(small()), p99_api_s=1e-4)
    said = headline(stored)
    assert re.search(r"p99 API answer of wire at least [\d.]+ ms", said.sentence)
    assert "–" not in said.sentence.partition("API answer")[2]


def test_too_few_pulls_leave_an_slo_inconclusive_with_what_it_needs(make) -> None:
    said = headline(with_slo(make(small()), success_rate=0.999))
    assert said.status == "not_shown"
    assert "3,838 pulls" in said.sentence and "inconclusive" in said.sentence


def test_an_slo_of_which_nothing_was_measured_does_not_ask_for_more_pulls(make) -> None:
    said = headline(with_slo(make(small(engines=("docker",))), p99_api_s=2.0))
    assert said.status == "not_shown"
    assert "reports API answers" in said.sentence and "368" not in said.sentence


def test_equal_routes_are_not_ranked(make) -> None:
    stored = make(small(noise=0.2, routes=(("us", "cache"), ("eu", "cache"))))
    assert ", though this run cannot tell it from wire from " in headline(stored).sentence


def with_wall_s(stored: StoredRun, wall_s: dict[tuple[str, int], list[float]]) -> StoredRun:
    """The run with a wall time a pull for each registry and concurrency, by block."""
    trials = stored.trials.copy()
    for index, row in trials.iterrows():
        trials.loc[index, "wall_s"] = (
            row["pulls"] * wall_s[row["registry"], row["concurrency"]][max(0, row["block"] - 1)]
        )
    return dataclasses.replace(stored, trials=trials)


def test_a_lead_over_one_of_many_settings_is_corrected_for_all_of_them(make) -> None:
    first, second = [1.0, 1.0, 1.0, 1.0, 1.0], [1.1, 1.3, 1.15, 1.4, 1.05]
    two = with_wall_s(make(small()), {("eu", 1): first, ("us", 1): second})
    assert "times (1.0" in headline(two).sentence
    wall_s = {("eu", 1): first, ("us", 1): second}
    wall_s |= {("us", n): [value * 1.001 for value in second] for n in (2, 4)}
    wall_s |= {("eu", n): [1.0, 1.6, 0.9, 1.7, 1.0] for n in (2, 4)}
    six = with_wall_s(make(small(concurrency=(1, 2, 4))), wall_s)
    assert "though this run cannot tell it from wire from us directly" in headline(six).sentence


def test_routes_that_differ_by_less_than_the_margin_are_as_good(make) -> None:
    near = {("eu", 1): [1.0, 1.0, 1.0, 1.01, 1.0], ("us", 1): [1.01, 1.01, 1.01, 1.01, 1.01]}
    said = headline(with_wall_s(make(small()), near)).sentence
    assert ", though wire from us directly, one pull at a time differs by less than 5%" in said


def test_a_setting_with_failures_that_looked_faster_is_told(make) -> None:
    stored = make(small())
    pulls, trials = stored.pulls.copy(), stored.trials.copy()
    failed = (pulls["registry"] == "eu") & (pulls["block"] == 1) & (pulls["pull"] == 0)
    pulls.loc[failed, "ok"], pulls.loc[failed, "error_code"] = False, "reset"
    of = (trials["registry"] == "eu") & (trials["block"] == 1)
    trials.loc[of, "succeeded"] -= 1
    said = headline(dataclasses.replace(stored, pulls=pulls, trials=trials)).sentence
    assert said.startswith("Fastest by time per image is wire from us directly")
    assert "no other route was free of failures" in said
    assert "left out is 1 setting that looked faster, with failures; " in said


@pytest.mark.parametrize(
    ("busy", "told"),
    [
        ("eu", "was 95% busy, so the registry may be faster than that"),
        ("us", "another setting may be faster than it looks"),
    ],
)
def test_a_client_at_its_limit_is_told_of_the_fastest_and_of_those_beside_it(make, busy: str, told: str) -> None:
    stored = make(small())
    limited = stored.trials["client_busy"].where(stored.trials["registry"] != busy, 0.95)
    said = headline(dataclasses.replace(stored, trials=stored.trials.assign(client_busy=limited))).sentence
    assert said.startswith("Fastest by time per image is wire from eu directly") and told in said


def test_two_blocks_are_a_hint_and_no_verdict(make) -> None:
    said = headline(make(small(blocks=2))).sentence
    assert "take it as a hint, for 2 blocks give no interval" in said
    assert "95%" not in said


def test_one_block_is_a_hint_in_the_singular(make) -> None:
    assert "for 1 block gives no interval" in headline(make(small(blocks=1))).sentence


def test_one_setting_is_the_fastest_of_nothing(make) -> None:
    said = headline(make(small(routes=(("eu", "direct"),)))).sentence
    assert said.startswith("wire from eu directly, one pull at a time, brings an image every ")
    assert "Fastest" not in said and "settings" not in said


def test_the_platform_of_the_fastest_is_named_where_several_were_measured(make) -> None:
    both = ("linux/amd64", "linux/arm64")
    one = headline(make(small(routes=(("eu", "direct"),), platforms=both))).sentence
    assert one.startswith("wire from eu directly, one pull at a time with linux/amd64, brings an image every ")
    several = headline(make(small(platforms=both))).sentence
    assert several.startswith("Fastest by time per image of the 2 settings with linux/amd64 is wire from eu ")


def test_a_run_that_failed_everywhere_says_why_and_what_to_do(make) -> None:
    said = headline(make(small(fail_everywhere=True)))
    assert (said.status, said.title) == ("failed", "Every pull failed")
    assert "the most frequent error is reset: the connection was cut" in said.sentence


def test_no_setting_without_failures_is_no_recommendation(make) -> None:
    said = headline(make(small(routes=(("us", "direct"),), failure_rate=0.5))).sentence
    assert said.startswith("No setting was free of failures (most often reset)")


def planned(stored: StoredRun, trials: int) -> StoredRun:
    return dataclasses.replace(stored, run=dataclasses.replace(stored.run, trials_planned=trials))


@pytest.mark.parametrize("status", ["incomplete", "running", "complete", "failed"])
def test_a_run_that_lacks_trials_says_so_whatever_its_status(make, status: str) -> None:
    stored = planned(with_slo(make(small()), mean_pull_s=30.0), 40)
    said = headline(dataclasses.replace(stored, run=dataclasses.replace(stored.run, status=status)))
    assert "the run is incomplete, 12 of 40 trials are in it" in said.sentence
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
    assert "Only warm-up was finished, 2 of 12 trials" in said.sentence


def test_a_failed_preflight_is_named(make) -> None:
    stored = make(small())
    checks = stored.checks.assign(status=["fail", *["pass"] * (len(stored.checks) - 1)])
    nothing = {"trials": stored.trials.iloc[:0], "pulls": stored.pulls.iloc[:0]}
    said = headline(dataclasses.replace(stored, checks=checks, **nothing))
    assert said.title == "Not ready: preflight failed"
    assert "dns of eu failed" in said.sentence


def test_a_run_without_a_trial_says_so(make) -> None:
    stored = make(small())
    nothing = {"trials": stored.trials.iloc[:0], "pulls": stored.pulls.iloc[:0]}
    assert headline(dataclasses.replace(stored, **nothing)).title == "Nothing was measured"


def test_a_busy_client_is_told(make) -> None:
    stored = make(small())
    stored = dataclasses.replace(stored, trials=stored.trials.assign(client_busy=0.93))
    assert "the client itself was 93% busy" in headline(stored).sentence


def test_users_engines_win_over_wire_which_unpacks_nothing(full: StoredRun) -> None:
    assert headline(full).sentence.startswith(
        "Fastest by time per image of the 6 settings with docker is docker from eu directly"
    )


def test_failures_of_another_engine_are_not_given_as_the_reason(make) -> None:
    stored = make(small(engines=("wire", "docker")))
    pulls, trials = stored.pulls.copy(), stored.trials.copy()
    docker = (pulls["engine"] == "docker") & (pulls["pull"] == 0)
    other = (pulls["engine"] == "wire") & (pulls["registry"] == "us")
    pulls.loc[docker | other, "ok"] = False
    pulls.loc[docker, "error_code"], pulls.loc[other, "error_code"] = "disk_full", "reset"
    trials.loc[trials["engine"] == "docker", "succeeded"] = 3
    said = headline(dataclasses.replace(stored, pulls=pulls, trials=trials)).sentence
    assert said.startswith("No setting with docker was free of failures (most often disk_full)")


def test_settings_that_differ_in_auth_or_the_proxys_cache_are_told_apart(full: StoredRun) -> None:
    cell = records(tables.cells(full.pulls, full.trials))[0] | {"proxy": "cache"}
    words = {
        tables.setting(cell | {"auth": auth, "proxy_cache": proxy_cache})
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
    said = headline(stored).sentence
    assert said.startswith("Fastest by time per image of the 4 settings with docker or podman is ")
    assert "least time per image of docker and podman" in page.settings_table(stored, cells)


def sentences(stored: StoredRun) -> list[str]:
    return [verdicts.contrast_sentence(row) for row in records(contrasts(stored))]


def test_comparisons_say_how_much_slower_or_faster(full: StoredRun) -> None:
    said = sentences(full)
    assert any(one.startswith("us takes ") and "times as long as eu (wire · direct)" in one for one in said)
    assert any(one.startswith("cache is ") and "times as fast as direct (docker · us)" in one for one in said)
    assert any(one.startswith("The whole with 4 at once is ") for one in said)


def test_a_comparison_of_two_blocks_is_none(make) -> None:
    (said,) = sentences(make(small(blocks=2)))
    assert said == "us against eu: too few samples, 2 blocks in common and 3 needed."


@pytest.mark.parametrize(
    ("verdict", "words"),
    [("no_difference", "differ by less than 5%"), ("inconclusive", "cannot be told")],
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
