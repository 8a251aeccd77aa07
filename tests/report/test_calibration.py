"""A calibration compared with a truth that fits what it measured, or does not."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pullbench.app.run import judgement
from pullbench.errors import UsageError
from pullbench.model.calibration import KEY
from pullbench.report.calibration import words as calibration_words
from pullbench.report.calibration.judgement import calibration
from pullbench.report.calibration.page import CalibrationPage
from pullbench.report.core.stored import StoredRun
from pullbench.report.figures import forest
from pullbench.report.render.render import CALIBRATION_NOTEBOOK, check_parameters
from pullbench.report.run.documents import document_of
from pullbench.report.run.markdown import run_summary
from pullbench.stats.calibration import Agreement
from pullbench.stats.slo import SloVerdict
from tests.report.synthetic_calibration import RUN_ID, calibrated_run
from tests.words import text_of


@pytest.fixture(scope="module")
def right() -> StoredRun:
    return calibrated_run()


def with_another_truth(right: StoredRun, **changes: Any) -> StoredRun:
    """The same run with another truth: `line_1={"round_trip_s": 0.09}`, `counted={"line-5": {"faults": 3}}`."""
    truth = json.loads(right.run.environment)
    for line in truth[KEY]["lines"]:
        line |= changes.get(line["name"].replace("-", "_"), {})
    for name, counts in changes.get("counted", {}).items():
        truth[KEY]["counted"][name] |= counts
    for name, seen in changes.get("references", {}).items():
        truth[KEY]["references"][name] |= seen
    return dataclasses.replace(right, run=dataclasses.replace(right.run, environment=json.dumps(truth)))


def by_name(run: StoredRun) -> dict[tuple[str, str], Agreement]:
    return {(row.quantity, row.line): row.agreement for row in calibration(run).rows}


@pytest.fixture(scope="module")
def agreed(right: StoredRun) -> dict[tuple[str, str], Agreement]:
    return by_name(right)


@pytest.fixture(scope="module")
def document(right: StoredRun) -> dict[str, Any]:
    return document_of(right)


def test_a_run_that_measured_what_was_true_meets_every_goal(document: dict[str, Any]) -> None:
    rows = {(row["quantity"], row["line"]): row for row in document["calibration"]["rows"]}
    assert {row["verdict"] for row in rows.values()} == {"met"}, rows
    assert rows["round trip", "line-1"]["measured"] == pytest.approx(0.08)
    assert rows["round trip", "line-1"]["reference"] == 0.0805
    assert rows["short round trip", "line-2"]["measured"] == pytest.approx(0.01)
    assert rows["service time", "line-3"]["measured"] == pytest.approx(0.03)
    assert rows["jittered wait, middle", "line-4"]["measured"] == pytest.approx(0.04, rel=0.001)
    assert rows["jitter, spread", "line-4"]["measured"] == pytest.approx(0.01)
    assert rows["TLS handshake", "line-6"]["measured"] == pytest.approx(0.15)
    assert rows["transfer of a layer", "line-2"]["measured"] == pytest.approx(0.1)
    assert rows["share of waiting", "line-1"]["measured"] == pytest.approx(0.08 / 0.105)
    assert rows["share of waiting", "line-2"]["measured"] == pytest.approx(0.01 / 0.11)
    assert rows["rate, one at a time", "line-1"]["measured"] == pytest.approx(40e6)
    assert rows["rate, several at once", "line-1"]["measured"] == pytest.approx(40e6), "four share the line"
    assert rows["fault rate", "line-5"]["measured"] == pytest.approx(0.2)
    assert rows["failed pulls", "line-5"]["measured"] == 24
    assert rows["cache hits", "line-7"]["measured"] == 90
    assert rows["layer bytes", "7 servers, each"]["error"] == 0
    assert (document["headline"]["status"], document["calibration"]["verdict"]) == ("met", "met")
    assert judgement(document) == (0, "complete")


@pytest.mark.parametrize(
    ("quantity", "line", "changes"),
    [
        ("round trip", "line-1", {"line_1": {"round_trip_s": 0.084}}),
        ("short round trip", "line-2", {"line_2": {"round_trip_s": 0.0115}}),
        ("service time", "line-3", {"line_3": {"service_s": 0.027}}),
        ("jittered wait, middle", "line-4", {"line_4": {"round_trip_s": 0.036}}),
        ("jitter, spread", "line-4", {"line_4": {"jitter_s": 0.04}}),
        ("TLS handshake", "line-6", {"line_6": {"handshake_s": 0.14}}),
        ("transfer of a layer", "line-2", {"line_2": {"rate_bytes_per_s": 10.5e6}}),
        ("share of waiting", "line-1", {"line_1": {"round_trip_s": 0.05}}),
        ("rate, one at a time", "line-1", {"line_1": {"rate_bytes_per_s": 42e6}}),
        ("rate, several at once", "line-2", {"line_2": {"rate_bytes_per_s": 9.6e6}}),
        ("fault rate", "line-5", {"line_5": {"fault_rate": 0.4}}),
        ("failed pulls", "line-5", {"counted": {"line-5": {"faults": 25}}}),
        ("cache hit rate", "line-7", {"line_7": {"hit_rate": 0.5}}),
        ("cache hits", "line-7", {"counted": {"line-7": {"layer_hits": 89}}}),
        ("layer bytes", "line-3", {"counted": {"line-3": {"layer_bytes": 1}}}),
    ],
)
def test_a_truth_that_was_another_is_a_missed_goal(
    right: StoredRun, agreed: dict[tuple[str, str], Agreement], quantity: str, line: str, changes: dict[str, Any]
) -> None:
    assert agreed.get((quantity, line), agreed["layer bytes", "7 servers, each"]).verdict == SloVerdict.MET
    assert by_name(with_another_truth(right, **changes))[quantity, line].verdict == SloVerdict.MISSED


def test_a_missed_goal_is_named_and_is_exit_code_1(right: StoredRun) -> None:
    document = document_of(with_another_truth(right, line_3={"service_s": 0.02}))
    assert document["calibration"]["verdict"] == document["headline"]["status"] == "missed"
    assert all(part in document["headline"]["sentence"] for part in ("service time", "line-3"))
    assert "Plain sockets" not in document["headline"]["sentence"], "plain sockets did not measure that line"
    assert judgement(document)[0] == 1


@pytest.mark.parametrize(("plain_s", "blamed"), [(0.0805, True), (0.0752, False)])
def test_a_miss_that_plain_sockets_have_too_is_the_machine_s(right: StoredRun, plain_s: float, blamed: bool) -> None:
    references = {"line-1": {"wait_s": plain_s}}
    document = document_of(with_another_truth(right, line_1={"round_trip_s": 0.075}, references=references))
    sentence = document["headline"]["sentence"]
    assert "round trip" in sentence and "line-1" in sentence
    assert ("Plain sockets" in sentence) == blamed


def test_bytes_that_are_wrong_on_two_lines_do_not_cancel(right: StoredRun) -> None:
    sent = json.loads(right.run.environment)[KEY]["counted"]
    more, less = sent["line-1"]["layer_bytes"] + 5, sent["line-2"]["layer_bytes"] - 5
    wrong = with_another_truth(right, counted={"line-1": {"layer_bytes": more}, "line-2": {"layer_bytes": less}})
    assert by_name(wrong)["layer bytes", "line-1"].verdict == SloVerdict.MISSED


def test_an_incomplete_run_has_no_truth_and_no_rows(right: StoredRun) -> None:
    stopped = dataclasses.replace(right.run, environment="{}", status="incomplete")
    document = document_of(dataclasses.replace(right, run=stopped))
    assert document["calibration"]["rows"] == []
    assert (document["calibration"]["verdict"], document["headline"]["status"]) == ("not_shown", "not_shown")


def test_the_markdown_has_a_row_a_goal_and_takes_the_place_of_the_old_table(
    document: dict[str, Any], tmp_path: Path
) -> None:
    page = tmp_path / "calibration.md"
    page.write_text(f"before\n{calibration_words.BEGIN}\nTHE LAST ONE\n{calibration_words.END}\nafter\n")
    calibration_words.put_into(page, document)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "THE LAST ONE" not in text
    assert text.count("\n| ") == 1 + len(document["calibration"]["rows"])
    assert "| round trip | line-1 | 80.00 ms | 80.00 ms |" in text
    assert "--seed 7" in text and RUN_ID in text
    calibration_words.put_into(page, document)
    assert page.read_text() == text
    assert "| round trip | line-1 |" in run_summary(document)


def test_a_file_of_other_content_is_not_taken_for_the_table(tmp_path: Path) -> None:
    page, marked = tmp_path / "README.md", tmp_path / "marked.md"
    page.write_text("# ours\n")
    marked.write_text(f"# ours\n{calibration_words.BEGIN}\n{calibration_words.END}\n")
    for place in (page, tmp_path):
        with pytest.raises(UsageError, match=calibration_words.BEGIN):
            calibration_words.check_place(place)
    with pytest.raises(UsageError, match=str(tmp_path / "gone")):
        calibration_words.check_place(tmp_path / "gone" / "new.md")
    calibration_words.check_place(marked)
    calibration_words.check_place(tmp_path / "new.md")
    assert page.read_text() == "# ours\n"


def test_text_before_marks_at_the_very_end_of_a_file_stays(document: dict[str, Any], tmp_path: Path) -> None:
    page = tmp_path / "ours.md"
    page.write_text(f"# ours\n{calibration_words.BEGIN}\n{calibration_words.END}")
    calibration_words.put_into(page, document)
    assert page.read_text().startswith(f"# ours\n{calibration_words.BEGIN}\n| quantity")


def test_a_new_file_becomes_the_table(document: dict[str, Any], tmp_path: Path) -> None:
    calibration_words.put_into(tmp_path / "new.md", document)
    assert (tmp_path / "new.md").read_text().startswith(calibration_words.BEGIN)


@pytest.mark.parametrize(
    ("unit", "truth", "error", "words"),
    [
        ("s", 0.08, 0.0012, "+1.20 ms (+1.5%)"),
        ("s", 0.08, -0.0012, "−1.20 ms (−1.5%)"),
        ("bytes/s", 1e7, -1e5, "−1.0%"),
        ("share", 0.2, 0.012, "+1.2 points"),
        ("count", 40, -2, "−2"),
        ("bytes", 1000, 0, "0"),
        ("count", 40, None, "–"),
    ],
)
def test_an_error_has_its_sign_and_unit(unit: str, truth: float, error: float | None, words: str) -> None:
    assert calibration_words.error({"unit": unit, "truth": truth, "error": error}) == words


def test_the_report_shows_every_row_and_what_is_not_calibrated(right: StoredRun) -> None:
    page = CalibrationPage(right)
    shown = "".join([page.header(), page.rows(), page.reading(), page.not_calibrated()])
    assert 'class="verdict good"' in shown and "seed 7" in shown and "connect_s" in shown
    assert shown.count('class="pill good"') == len(page.result.rows)


def test_the_golden_page_of_a_calibration(right: StoredRun, golden: Callable[[str, str], None]) -> None:
    page = CalibrationPage(right)
    golden("report/calibration.txt", text_of(page.header() + page.rows() + page.reading() + page.not_calibrated()))


def test_the_figure_draws_the_rows_that_have_a_band_and_nothing_without_any(right: StoredRun, undrawn: None) -> None:
    found = calibration(right)
    drawn = forest.calibrated(found)
    assert "of line-1" in drawn and "concurrency 4 of line-2" in drawn
    assert "failed pulls" not in drawn
    assert forest.calibrated(dataclasses.replace(found, rows=())) == ""


def test_the_notebook_takes_what_the_report_gives_it() -> None:
    check_parameters(CALIBRATION_NOTEBOOK, {"results_url": "results", "run_id": RUN_ID})
