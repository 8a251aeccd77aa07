"""A stress test's numbers and words against a service whose capacity is known."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pullbench.errors import ErrorCode
from pullbench.model.ramp import EndReason
from pullbench.model.spec import Stress
from pullbench.report.core.stored import StoredRun
from pullbench.report.figures.load import course_over_time, load_curve
from pullbench.report.run.documents import document_of, run_document
from pullbench.report.run.markdown import run_summary
from pullbench.report.site.build import build_site
from pullbench.report.stress import verdict
from pullbench.report.stress.page import StressPage
from pullbench.report.stress.steps import Stressed, course, stressed
from pullbench.store.dataset import ResultStore
from tests.report import synthetic_stress
from tests.report.synthetic import RUN_ID
from tests.report.synthetic_stress import LONG, MadeUpStore, Service

RATE = Stress(ramp="rate", steps=[10, 20, 40, 80], trial_s=2, hold=0, down=[10])


@pytest.fixture(scope="module")
def broken() -> StoredRun:
    """Four slots: it breaks at 16, where a pull takes 0.4 s and 0.3 s are asked."""
    return synthetic_stress.stored(Service(stress=LONG))


@pytest.fixture(scope="module")
def found(broken: StoredRun) -> Stressed:
    return stressed(broken)


@pytest.fixture(scope="module")
def of_a_rate() -> StoredRun:
    """Four slots of 0.1 s serve 40 pulls a second."""
    return synthetic_stress.stored(Service(stress=RATE))


def words(service: Service) -> tuple[str, str, str]:
    stored = synthetic_stress.stored(service)
    said = verdict.headline(stressed(stored), stored)
    return said.status, said.title, said.sentence


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


def test_recovery_is_the_first_step_down_that_holds_beside_the_way_up(found: Stressed) -> None:
    assert found.recovery is not None
    assert (found.recovery.held_at, found.recovery.load) == (8, 1)
    assert found.recovery.after_s == pytest.approx(0.2, abs=0.05)
    assert found.recovery.beside is not None
    assert found.recovery.beside.ratio == pytest.approx(1, abs=0.1)
    assert verdict.recovered(found) is True


def test_a_service_that_stays_slow_has_not_recovered() -> None:
    status, _, sentence = words(Service(slower_after=1.4, noise=0.005))
    assert status == "partly"
    assert "1.40×" in sentence


def test_the_words_of_a_stress_test_are_the_golden_page(golden: Callable[[str, str], None]) -> None:
    rate_limited = {"fails": lambda stage: ErrorCode.RATE_LIMITED if stage.load >= 4 else None, "end": "incomplete"}
    services = {
        "a service of four slots, with a mean pull time of 300 ms as its SLO": Service(stress=LONG),
        "one that stays slow after the overload": Service(slower_after=1.4, noise=0.005),
        "one that no load overloads": Service(mean_pull_s=10),
        "one that misses its SLO at the first step": Service(mean_pull_s=0.05),
        "one measured from a client at its ceiling": Service(busy=lambda stage: 0.9 if stage.load >= 4 else 0.2),
        "one with a rate limit": Service(**rate_limited, stopped="rate limited by the registry (429)"),
        "one whose test was stopped": Service(stop_after=2, end="incomplete", stopped="budget.bytes: 1.00 GB used"),
        "one under a rate": Service(stress=RATE),
    }
    pages = []
    for name, service in services.items():
        stored = synthetic_stress.stored(service)
        said = verdict.headline(stressed(stored), stored)
        pages.append("\n".join([f"# {name}", f"[{said.status}] {said.title}", *said.clauses]))
    golden("stress-verdicts.txt", "\n\n".join(pages) + "\n")


def test_the_verdict_has_the_numbers_of_the_limit_and_what_is_missed(broken: StoredRun, found: Stressed) -> None:
    said = verdict.headline(found, broken)
    assert said.status == "met"
    for number in ("8", "16", "300 ms", "3,838"):
        assert number in said.sentence, number


def test_a_knee_that_may_be_anywhere_is_inconclusive(found: Stressed) -> None:
    loads = found.up["load"]
    unsure = dataclasses.replace(found, knee_low=float(loads.min()), knee_high=float(loads.max()))
    said = verdict.knee(unsure)
    assert "inconclusive" in said and f"from {loads.min():g} to {loads.max():g}" in said
    assert "inconclusive" not in verdict.knee(found)


def test_a_service_that_no_load_overloads_meets_the_slo_up_to_the_top() -> None:
    status, title, _ = words(Service(mean_pull_s=10))
    assert status == "met" and "16" in title


def test_a_first_step_that_misses_is_a_missed_slo() -> None:
    status, _, sentence = words(Service(mean_pull_s=0.05))
    assert status == "missed" and "50.0 ms" in sentence


def test_failures_break_it_too_and_count_in_no_rate() -> None:
    stored = synthetic_stress.stored(Service(fails=lambda stage: ErrorCode.SERVER_ERROR if stage.load >= 4 else None))
    found = stressed(stored)
    assert (found.held, found.broke) == (1, 8)
    row = found.up.iloc[1]
    assert row["rate"] == pytest.approx(40 * 2 / 3, rel=0.1)
    assert row["missed"] == ["success_rate"]


def test_a_rate_limit_is_no_break() -> None:
    service = Service(
        fails=lambda stage: ErrorCode.RATE_LIMITED if stage.load >= 4 else None,
        end="incomplete",
        stopped="rate limited by the registry (429)",
    )
    found = stressed(synthetic_stress.stored(service))
    assert (found.held, found.broke, found.end) == (1, None, EndReason.RATE_LIMITED)
    status, _, sentence = words(service)
    assert status == "not_shown"
    assert "429" in sentence and "24 times" in sentence


def test_a_busy_client_is_said_to_be_the_limit() -> None:
    status, title, sentence = words(Service(busy=lambda stage: 0.9 if stage.load >= 4 else 0.2))
    assert status == "not_shown" and "not the registry" in title
    assert "90.0%" in sentence


def test_a_test_that_was_stopped_says_why() -> None:
    service = Service(stop_after=2, end="incomplete", stopped="budget.bytes: 1.00 GB of 1.00 GB used after trial 5")
    status, title, sentence = words(service)
    assert status == "not_shown" and "incomplete" in title
    assert str(service.stopped) in sentence


def test_a_rate_is_judged_by_what_arrives_and_what_comes_through(of_a_rate: StoredRun) -> None:
    found = stressed(of_a_rate)
    assert (found.held, found.broke) == (40, 80)
    assert found.knee == 40
    assert verdict.headline(found, of_a_rate).status == "met"


def test_a_rate_that_does_not_come_through_says_how_much_does() -> None:
    """From 20 offered to 80 more comes through, so no step is a knee; and yet 40 is all that comes through."""
    found = stressed(synthetic_stress.stored(Service(stress=RATE.model_copy(update={"steps": [5, 20, 80]}))))
    assert found.knee is None
    assert "80 pulls/s" in verdict.knee(found) and "no more" in verdict.knee(found)


def test_loads_that_were_planned_out_are_no_steps_that_are_missing() -> None:
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
    assert f"## carries: {document['headline']['title']}" in run_summary(document)
    assert {(row["engine"], row["configuration"]) for row in document["slo"]} == {("wire", None)}


def test_a_test_that_came_to_nothing_has_a_document_and_a_page() -> None:
    store = MadeUpStore(Service(only_warm_up=True, end="incomplete"))
    document = run_document(store, RUN_ID)
    assert document["headline"]["title"] == "Nothing was measured"
    assert document["stress"]["steps"] == [] and document["slo"] == []
    stored = synthetic_stress.stored(Service(only_warm_up=True, end="incomplete"))
    page = StressPage(stored)
    assert "Nothing was measured" in page.header()
    assert not page.findings() and not page.steps() and not page.slos()
    assert not page.load_curve() and not page.over_time()


def test_the_site_lists_it(tmp_path: Path) -> None:
    site = build_site(MadeUpStore(Service()).into(ResultStore(str(tmp_path / "results"))), tmp_path / "reports")
    stored = synthetic_stress.stored(Service())
    assert verdict.headline(stressed(stored), stored).title in site.page.read_text()


def test_the_sections_show_limit_knee_recovery_and_every_step(broken: StoredRun, found: Stressed) -> None:
    page = StressPage(broken)
    cards = page.findings()
    for part in ("8 to under 16", "knee", "recovered"):
        assert part in cards, part
    steps = page.steps()
    assert steps.count("<tr") == 1 + len(found.steps)
    assert 'class="best"' in steps and steps.count('class="failed"') == 2
    assert "mean pull time" in steps
    assert "concurrency 8" in page.slos() and page.slos().count("<li") == 2
    assert "stress test" in page.header()


def test_the_card_of_a_service_that_met_its_slo_again_and_is_slower_says_both() -> None:
    stored = synthetic_stress.stored(Service(slower_after=1.4, noise=0.005))
    assert "met again, still slower" in StressPage(stored).findings()


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
    assert "Dashed: " in curve and "300 ms" in curve
    assert "Grey line: " not in curve and "Grey line: " in of_rates
    assert "Crosses: " not in over_time


def test_a_picture_over_time_marks_trials_with_failures() -> None:
    stored = synthetic_stress.stored(Service(fails=lambda stage: ErrorCode.RESET if stage.load >= 4 else None))
    table = course(stored)
    assert table["failed"].sum() == (stored.trials["pulls"] - stored.trials["succeeded"]).sum()
    assert f"{table['failed'].sum()} pulls in all" in course_over_time(table, stressed(stored), 0.3)


def test_a_step_is_a_line(found: Stressed) -> None:
    line = verdict.step_line("concurrency", found.steps.to_dict("records")[4])
    assert line.startswith("step 4, up: concurrency 16: ")
    assert "144 of 144" in line and line.endswith("missed: mean pull time")
