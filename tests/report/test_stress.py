"""A stress test's numbers and words against a service whose capacity is known."""

import dataclasses
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from pullbench.cli.terminal.console import print_verdict
from pullbench.cli.terminal.tables import result_table
from pullbench.errors import ErrorCode
from pullbench.model.ramp import EndReason, Stage
from pullbench.model.spec import Stress
from pullbench.report.core.stored import StoredRun
from pullbench.report.figures.load import course_over_time, load_curve
from pullbench.report.run.documents import document_of, run_document
from pullbench.report.run.markdown import run_summary
from pullbench.report.run.verdicts import Headline
from pullbench.report.site.build import build_site
from pullbench.report.stress import verdict
from pullbench.report.stress.page import StressPage
from pullbench.report.stress.steps import Stressed, course, stressed
from pullbench.store.dataset import ResultStore
from tests.report import synthetic_stress
from tests.report.synthetic import RUN_ID
from tests.report.synthetic_stress import LONG, SHORT, MadeUpStore, Service
from tests.words import text_of

RATE = Stress(ramp="rate", steps=[10, 20, 40, 80], trial_s=2, hold=0, down=[10])


@pytest.fixture(scope="module")
def broken() -> StoredRun:
    """Four slots: it misses the SLO of 0.3 s at 16, where a pull takes 0.4 s."""
    return synthetic_stress.stored(Service(stress=LONG))


@pytest.fixture(scope="module")
def found(broken: StoredRun) -> Stressed:
    return stressed(broken)


@pytest.fixture(scope="module")
def of_a_rate() -> StoredRun:
    """Four slots of 0.1 s serve 40 pulls a second."""
    return synthetic_stress.stored(Service(stress=RATE))


def headline(service: Service) -> Headline:
    stored = synthetic_stress.stored(service)
    return verdict.headline(stressed(stored), stored)


def document(service: Service) -> dict[str, Any]:
    part: dict[str, Any] = document_of(synthetic_stress.stored(service))["stress"]
    return part


def test_the_limit_lies_where_the_service_has_it(found: Stressed) -> None:
    assert (found.held, found.broke, found.end) == (8, 16, EndReason.BROKE)
    assert list(found.up["load"]) == [1, 2, 4, 8, 16]
    assert list(found.steps["verdict"]) == ["held"] * 4 + ["missed"] * 2 + ["held"] * 4


def test_the_knee_is_within_one_step_of_the_slots(found: Stressed) -> None:
    assert found.knee in (2, 4, 8)
    assert found.knee_low is not None and found.knee_high is not None
    assert found.knee_low <= 4 <= found.knee_high


def test_a_steps_numbers_are_the_services(found: Stressed) -> None:
    rows = found.steps.set_index("step")
    assert rows.loc[3, "mean_s"] == pytest.approx(0.2, rel=0.1)
    assert rows.loc[3, "rate"] == pytest.approx(40, rel=0.1)
    assert rows.loc[3, "mean_low_s"] < rows.loc[3, "mean_s"] < rows.loc[3, "mean_high_s"]
    assert rows.loc[3, "pulls"] == 3 * 8 * 3
    assert rows.loc[4, "missed"] == ["mean_pull_s"]


def test_recovery_is_the_first_step_down_that_meets_the_slo_and_is_compared_with_the_ramp_up(found: Stressed) -> None:
    assert found.recovery is not None
    assert (found.recovery.held_at, found.recovery.load) == (8, 1)
    assert found.recovery.after_s == pytest.approx(0.2, abs=0.05)
    assert found.recovery.against_before is not None
    assert found.recovery.against_before.ratio == pytest.approx(1, abs=0.1)
    assert verdict.recovered(found) is True


def test_a_service_that_stays_slow_has_not_recovered() -> None:
    slow = Service(slower_after=1.4, noise=0.005)
    recovery = document(slow)["recovery"]
    assert headline(slow).status == "partly"
    assert (recovery["load"], recovery["verdict"]) == (1, "slower")
    assert recovery["ratio"] == pytest.approx(1.4, rel=0.02)


def test_the_golden_page_of_a_stress_test(broken: StoredRun, golden: Callable[[str, str], None]) -> None:
    page = StressPage(broken)
    golden("report/stress.txt", text_of(page.header() + page.findings() + page.steps() + page.method()))


OUTCOMES = {
    "an SLO is missed, and the service recovers": Service(stress=LONG),
    "an SLO is missed, and the service does not recover": Service(stress=LONG, slower_after=4, noise=0.005),
    "the SLO is met again, and pulls are still slower": Service(slower_after=1.4, noise=0.005),
    "no SLO is missed up to the top": Service(mean_pull_s=10),
    "every SLO is met up to the top": Service(mean_pull_s=10, success_rate=None),
    "the first step misses an SLO": Service(mean_pull_s=0.05),
    "the client is the limit": Service(mean_pull_s=10, busy=lambda stage: 0.9 if stage.load >= 8 else 0.1),
    "past the client's limit": Service(
        busy=lambda stage: 0.9 if stage.load >= 8 else 0.1,
        stress=SHORT.model_copy(update={"at_client_limit": "continue"}),
    ),
    "the client was the limit at a lower load alone": Service(
        busy=lambda stage: 0.9 if stage.load == 8 else 0.1,
        stress=SHORT.model_copy(update={"at_client_limit": "continue"}),
    ),
    "the steps are inconclusive": Service(stress=LONG, noise=0.4, mean_pull_s=0.21),
    "a rate limit": Service(
        fails=lambda stage: ErrorCode.RATE_LIMITED if stage.load >= 4 else None,
        end="incomplete",
        stopped="rate limited by the registry (429)",
    ),
    "interrupted": Service(stress=LONG, stop_after=3, end="incomplete", stopped="interrupted"),
    "a rate is raised": Service(stress=RATE),
}


def terminal(service: Service, width: int) -> str:
    """A stress test's table and verdict as a terminal shows them."""
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, color_system=None, highlight=False)
    found = document_of(synthetic_stress.stored(service))
    console.print(result_table(found))
    console.print()
    print_verdict(console, found)
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


@pytest.mark.parametrize("width", [80, 120])
def test_golden_terminal_of_each_outcome(golden: Callable[[str, str], None], width: int) -> None:
    pages = [f"=== {name}\n\n{terminal(service, width)}" for name, service in OUTCOMES.items()]
    golden(f"terminal/stress-{width}.txt", "\n".join(pages))


@pytest.mark.parametrize("name", OUTCOMES)
def test_no_line_is_longer_than_the_terminal_and_no_number_is_cut(name: str) -> None:
    found = document_of(synthetic_stress.stored(OUTCOMES[name]))["stress"]["steps"]
    said = terminal(OUTCOMES[name], 80)
    assert max(map(len, said.splitlines())) <= 80 and "…" not in said
    rows = [line.split() for line in said.splitlines()[1:] if line.split()[1:2] in (["up"], ["hold"], ["down"])]
    assert [(int(row[0]), float(row[2])) for row in rows] == [(step["step"] + 1, step["load"]) for step in found]


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_verdict_is_green_only_where_every_slo_is_met(name: str) -> None:
    found = document_of(synthetic_stress.stored(OUTCOMES[name]))
    if found["headline"]["status"] == "met":
        assert {row["verdict"] for row in found["slo"]} == {"met"}


@pytest.mark.parametrize("name", OUTCOMES)
def test_an_overload_is_named_only_where_an_slo_was_missed(name: str) -> None:
    found = document_of(synthetic_stress.stored(OUTCOMES[name]))
    if found["stress"]["broke"] is None:
        assert "overload" not in found["headline"]["sentence"]
        assert "at least" not in StressPage(synthetic_stress.stored(OUTCOMES[name])).findings()


def test_a_client_that_is_not_the_limit_at_the_highest_load_does_not_lead_the_verdict() -> None:
    said = headline(OUTCOMES["the client was the limit at a lower load alone"])
    assert said.title != verdict.CLIENT_IS_THE_LIMIT
    assert any("90.0%" in clause for clause in said.clauses)


@pytest.mark.parametrize(("target_s", "is_drawn"), [(0.3, True), (10.0, False)])
def test_a_caption_names_the_line_of_an_slo_only_where_it_is_drawn(target_s: float, is_drawn: bool) -> None:
    stored = synthetic_stress.stored(Service(mean_pull_s=target_s))
    page = StressPage(stored)
    for drawing in (page.load_curve(), page.over_time()):
        assert ("Dashed" in drawing) is is_drawn
        assert ("above the figure" in drawing) is not is_drawn


def test_a_saturation_point_that_may_be_anywhere_is_inconclusive(found: Stressed) -> None:
    loads = found.up["load"]
    unsure = dataclasses.replace(found, knee_low=float(loads.min()), knee_high=float(loads.max()))
    assert verdict.knee_undecided(unsure) and not verdict.knee_undecided(found)
    assert "inconclusive" in verdict.knee(unsure) and "inconclusive" not in verdict.knee(found)


def test_a_service_that_nothing_breaks_meets_the_slo_to_the_top() -> None:
    strong = Service(mean_pull_s=10, success_rate=None)
    found = document(strong)
    assert headline(strong).status == "met"
    assert (found["end"], found["held"], found["broke"], found["recovery"]["held_at"]) == ("top", 16, None, 1)


def test_a_first_step_that_misses_the_slo_ends_the_test() -> None:
    weak = Service(mean_pull_s=0.05)
    found = document(weak)
    assert headline(weak).status == "missed"
    assert (found["end"], found["first_step_missed"], found["held"], found["broke"]) == ("first_step", True, None, 1)


def test_failures_break_it_too_and_count_in_no_rate() -> None:
    stored = synthetic_stress.stored(Service(fails=lambda stage: ErrorCode.SERVER_ERROR if stage.load >= 4 else None))
    found = stressed(stored)
    assert (found.held, found.broke) == (1, 8)
    row = found.up.iloc[1]
    assert row["rate"] == pytest.approx(40 * 2 / 3, rel=0.1)
    assert row["missed"] == ["success_rate"]


def test_a_rate_limit_is_no_missed_slo() -> None:
    service = Service(
        fails=lambda stage: ErrorCode.RATE_LIMITED if stage.load >= 4 else None,
        end="incomplete",
        stopped="rate limited by the registry (429)",
    )
    found = document(service)
    said = headline(service)
    assert (found["held"], found["broke"], found["end"]) == (1, None, "rate_limited")
    assert found["steps"][-1]["rate_limited"] == 24
    assert said.status == "not_shown" and "24 times" in said.clauses[0]


def busy_from(load: float) -> Callable[[Stage], float]:
    return lambda stage: 0.9 if stage.load >= load else 0.2


def test_a_client_that_is_the_limit_ends_the_test_and_is_the_first_line_of_the_verdict() -> None:
    service = Service(busy=busy_from(4))
    found, said = document(service), headline(service)
    assert (found["end"], found["held"], found["broke"]) == ("client", 8, None)
    assert (found["client_limited_at"], found["client_busy"], found["client_limit"]) == (8, 0.9, "cores")
    assert (said.status, said.title) == ("not_shown", verdict.CLIENT_IS_THE_LIMIT)
    assert "90.0%" in said.clauses[0]
    assert "--keep-going" in said.clauses[-1]


@pytest.mark.parametrize("load", [0.0, 12.2])
@pytest.mark.parametrize(
    ("service", "is_limited"),
    [
        (OUTCOMES["the client is the limit"], True),
        (OUTCOMES["past the client's limit"], True),
        (OUTCOMES["the client was the limit at a lower load alone"], True),
        (Service(stress=LONG, busy=lambda stage: 0.2 if stage.phase == "up" else 0.9), True),
        (Service(), False),
    ],
    ids=["the limit", "past it", "lower alone", "later", "no limit"],
)
def test_where_other_processes_used_the_node_a_client_limit_asks_for_an_idle_one(
    service: Service, is_limited: bool, load: float
) -> None:
    stored = synthetic_stress.stored(service)
    run = dataclasses.replace(stored.run, environment=json.dumps({"load_before": load, "cores": 2}))
    said = document_of(dataclasses.replace(stored, run=run))["headline"]["sentence"]
    assert ("on an idle node" in said) is bool(is_limited and load)
    assert ("load 12.2 on 2 cores" in said) is bool(is_limited and load)


def test_a_test_that_goes_past_the_client_s_limit_still_names_the_client_first() -> None:
    service = Service(busy=busy_from(4), stress=SHORT.model_copy(update={"at_client_limit": "continue"}))
    found, said = document(service), headline(service)
    assert (found["end"], found["held"], found["broke"], found["at_client_limit"]) == ("broke", 8, 16, "continue")
    assert found["client_limited_at"] == 8
    assert (said.status, said.title) == ("not_shown", verdict.CLIENT_IS_THE_LIMIT)
    assert "--keep-going" not in said.sentence


def test_a_client_that_is_the_limit_only_after_the_ramp_up_is_named_in_the_details() -> None:
    service = Service(stress=LONG, busy=lambda stage: 0.2 if stage.phase == "up" else 0.9)
    said = headline(service)
    assert said.title != verdict.CLIENT_IS_THE_LIMIT and document(service)["client_limited_at"] is None
    assert "steps 6, 7, 8, 9 and 10" in said.clauses[-1]


def test_a_client_that_is_not_the_limit_is_not_named(found: Stressed, broken: StoredRun) -> None:
    assert verdict.client_limited_step(found) is None
    part = document_of(broken)["stress"]
    assert (part["client_limited_at"], part["client_busy"], part["client_limit"]) == (None, None, None)


def test_a_test_that_was_stopped_gives_the_reason() -> None:
    reason = "budget.bytes: 1.00 GB of 1.00 GB used after trial 5"
    service = Service(stop_after=2, end="incomplete", stopped=reason)
    said = headline(service)
    assert said.status == "not_shown"
    assert reason in said.clauses[0]


def test_a_rate_is_judged_by_what_arrives_and_what_completes(of_a_rate: StoredRun) -> None:
    found = stressed(of_a_rate)
    assert (found.held, found.broke) == (40, 80)
    assert found.knee == 40
    assert "40 pulls/s" in verdict.headline(found, of_a_rate).title


def test_a_rate_that_does_not_complete_shows_how_much_does() -> None:
    """From 20 offered to 80 more completes, so no step is a saturation point; still 40 is the most."""
    found = stressed(synthetic_stress.stored(Service(stress=RATE.model_copy(update={"steps": [5, 20, 80]}))))
    assert found.knee is None
    completed = re.search(r"Of 80 pulls/s offered, (\S+) pulls/s", verdict.knee(found))
    assert completed is not None and float(completed[1]) == pytest.approx(40, rel=0.1)


def test_loads_between_the_limits_are_named_as_inconclusive(found: Stressed, broken: StoredRun) -> None:
    wide = dataclasses.replace(found, held=2.0)
    assert [clause for clause in verdict.headline(wide, broken).clauses if "4 and 8" in clause]


def test_excluded_loads_are_no_missing_steps() -> None:
    cell = {"engine": "wire", "registry": "eu", "proxy": "direct", "platform": "linux/amd64", "cache": "cold"}
    cell |= {"proxy_cache": "any", "auth": "persisted"}
    refused = [{"cell": {**cell, "concurrency": load}, "reason": "too few images"} for load in (4, 8)]
    service = Service(stress=Stress(steps=[1, 2, 4, 8], hold=0, down=[]), planned_out=refused, stop_after=2)
    assert stressed(synthetic_stress.stored(service)).end is EndReason.TOP


def test_a_step_that_a_resume_measured_again_counts_once() -> None:
    stored = synthetic_stress.stored(Service())
    doubled = stored.trials.copy()
    doubled["step"] = doubled["step"].mask(doubled["step"] >= 1, doubled["step"] + 1)
    third = doubled["trial"].isin(doubled[doubled["step"] == 2]["trial"].head(1))
    doubled["step"] = doubled["step"].mask(third, 1)
    limited = stored.pulls["trial"].isin(doubled[third]["trial"]) & (stored.pulls["pull"] == 0)
    pulls = stored.pulls.assign(
        ok=stored.pulls["ok"] & ~limited, error_code=stored.pulls["error_code"].mask(limited, "rate_limited")
    )
    found = stressed(dataclasses.replace(stored, trials=doubled, pulls=pulls))
    assert list(found.steps["load"].head(3)) == [1, 8, 8]
    assert list(found.up["step"].head(2)) == [0, 2]


def test_the_document_has_what_the_report_says(broken: StoredRun, found: Stressed) -> None:
    document = document_of(broken)
    stress = document["stress"]
    assert (stress["held"], stress["broke"], stress["end"], stress["judged_load"]) == (8, 16, "broke", 8)
    assert stress["knee"] == found.knee
    assert stress["recovered"] is True and stress["first_step_missed"] is False
    assert [step["load"] for step in stress["steps"]] == list(found.steps["load"])
    assert [cell["concurrency"] for cell in document["cells"]] == [1, 2, 4, 8, 16]
    assert {row["name"]: row["verdict"] for row in document["slo"]} == {
        "success_rate": "not_shown",
        "mean_pull_s": "met",
    }
    assert f"## peak: {document['headline']['title']}" in run_summary(document)


def test_a_test_that_came_to_nothing_has_a_document_and_a_page() -> None:
    store = MadeUpStore(Service(only_warm_up=True, end="incomplete"))
    document = run_document(store, RUN_ID)
    assert document["headline"]["status"] == "not_shown"
    assert document["stress"]["steps"] == [] and document["slo"] == []
    stored = synthetic_stress.stored(Service(only_warm_up=True, end="incomplete"))
    page = StressPage(stored)
    assert document["headline"]["title"] in page.header()
    assert not page.findings() and not page.steps() and not page.slos()
    assert not page.load_curve() and not page.over_time()


def test_the_site_lists_it(tmp_path: Path) -> None:
    site = build_site(MadeUpStore(Service()).into(ResultStore(str(tmp_path / "results"))), tmp_path / "reports")
    assert headline(Service()).title in site.page.read_text()


def test_the_sections_show_limit_knee_recovery_and_every_step(broken: StoredRun, found: Stressed) -> None:
    page = StressPage(broken)
    cards = page.findings()
    assert cards.count('<li class="card') == 3 and "8 to under 16" in cards
    steps = page.steps()
    assert steps.count("<tr") == 1 + len(found.steps)
    assert 'class="best"' in steps and steps.count('class="failed"') == 2
    assert "missed: mean" in steps
    assert "concurrency 8" in page.slos()


def test_the_card_of_a_service_that_meets_the_slo_again_and_is_slower_is_bad() -> None:
    stored = synthetic_stress.stored(Service(slower_after=1.4, noise=0.005))
    assert "still slower" in StressPage(stored).findings() and "card bad" in StressPage(stored).findings()


def svgs(markup: str) -> list[ElementTree.Element]:
    found = re.findall(r'<svg role="img".*?</svg>', markup, flags=re.DOTALL)
    linked = '<svg xmlns:xlink="http://www.w3.org/1999/xlink" '
    return [ElementTree.fromstring(svg.replace("<svg ", linked, 1)) for svg in found]


def test_the_pictures_are_whole_and_say_what_they_show(of_a_rate: StoredRun) -> None:
    stored = synthetic_stress.stored(Service())
    seen = stressed(stored)
    curve, over_time = load_curve(seen, 0.3), course_over_time(course(stored), seen, 0.3)
    of_rates = load_curve(stressed(of_a_rate), 0.3)
    assert len(svgs(curve)) == len(svgs(of_rates)) == len(svgs(over_time)) == 2
    assert "Dashed" in curve and "300 ms" in curve and "Dashed" not in load_curve(seen, None)
    assert "Grey line" not in curve and "Grey line" in of_rates
    assert "0 pulls failed" in over_time


def test_a_picture_over_time_marks_trials_with_failures() -> None:
    stored = synthetic_stress.stored(Service(fails=lambda stage: ErrorCode.RESET if stage.load >= 4 else None))
    table = course(stored)
    assert table["failed"].sum() == (stored.trials["pulls"] - stored.trials["succeeded"]).sum()
    assert f"{table['failed'].sum()} pulls" in course_over_time(table, stressed(stored), 0.3)


def test_the_line_of_a_step_has_its_load_its_pulls_and_its_verdict(found: Stressed) -> None:
    line = verdict.step_line("concurrency", found.steps.to_dict("records")[4])
    assert line.startswith("step 5 (up): concurrency 16, ") and "144 of 144 pulls" in line
    assert line.endswith(": mean pull time")
