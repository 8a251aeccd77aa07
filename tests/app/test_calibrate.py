"""The page on calibration has the command's own table; the command refuses what it cannot do before anything is measured."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from rich.table import Table

from pullbench.app.calibrate import CalibrationRequest
from pullbench.app.run import judgement
from pullbench.bench.active_run import ActiveRun
from pullbench.bench.specfile import load_spec
from pullbench.bench.workbench import Workbench
from pullbench.cli.calibrate import calibrate
from pullbench.cli.measuring import Measuring
from pullbench.cli.terminal.progress import CalibrationProgress
from pullbench.cli.terminal.tables import calibration_table
from pullbench.errors import UsageError
from pullbench.lab.calibration import draw_lines
from pullbench.model.finding import Finding, Status
from pullbench.report.calibration import words as calibration_words
from pullbench.report.core import numbers
from pullbench.store.dataset import ResultStore
from tests.bench.samples import spec_data
from tests.store import sample

PAGE = Path(__file__).parents[2] / "docs" / "calibration.md"


def seconds_text(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms"


def rate_text(rate: float) -> str:
    return f"{rate / 1e6:.2f} MB/s"


def table_of(page: str) -> list[list[str]]:
    """The cells of each row between the marks, headings first."""
    _, _, rest = page.partition(calibration_words.BEGIN)
    made, _, _ = rest.partition(calibration_words.END)
    rows = [line.strip("|").split("|") for line in made.splitlines() if line.startswith("|") and "---" not in line]
    return [[cell.strip() for cell in row] for row in rows]


def test_the_page_has_the_table_of_a_whole_calibration_with_the_truth_of_its_seed() -> None:
    text = PAGE.read_text(encoding="utf-8")
    headings, *rows = table_of(text)
    assert tuple(headings) == calibration_words.HEADINGS
    found = re.search(r"`--seed (\d+)`, ", text)
    assert found is not None
    by_name = {(row[0], row[1]): row for row in rows}
    expected: dict[tuple[str, str], str] = {}
    for line in draw_lines(int(found[1]), quick=False):
        if line.rate_bytes_per_s is not None and line.round_trip_s is not None:
            which = "round trip" if line.round_trip_s >= 0.05 else "short round trip"
            expected[which, line.name] = seconds_text(line.round_trip_s)
            expected |= {
                (f"rate, concurrency {concurrency}", line.name): rate_text(line.rate_bytes_per_s)
                for concurrency in (1, 4)
            }
            assert {("transfer of a layer", line.name), ("share of waiting", line.name)} <= by_name.keys()
        elif line.jitter_s is not None:
            expected["jitter, spread", line.name] = seconds_text(line.jitter_s / 2)
        elif line.service_s is not None:
            expected["service time", line.name] = seconds_text(line.service_s)
        elif line.handshake_s is not None:
            expected["TLS handshake", line.name] = seconds_text(line.handshake_s)
        elif line.fault_rate is not None:
            expected["fault rate", line.name] = numbers.percent(line.fault_rate)
        elif line.hit_rate is not None:
            expected["cache hit rate", line.name] = numbers.percent(line.hit_rate)
    assert {name: by_name[name][2] for name in expected} == expected
    assert {row[-1] for row in rows} <= set(calibration_words.VERDICTS.values())
    assert by_name["layer bytes", "11 servers, each"][4] == "0"


def test_markdown_without_a_directory_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--markdown "):
        calibrate(markdown=tmp_path / "nowhere" / "table.md")


def test_only_a_missed_goal_is_exit_code_1() -> None:
    def ended(verdict: str) -> dict[str, Any]:
        headline = {"title": "1 goal missed"}
        base = {"slo": [], "preflight": {"findings": []}, "kind": "calibration", "status": "complete"}
        return base | {"headline": headline, "calibration": {"verdict": verdict}}

    assert [judgement(ended(verdict))[0] for verdict in ("met", "not_shown", "missed")] == [0, 0, 1]


def test_a_stopped_calibration_starts_again_because_its_lab_is_gone(tmp_path: Path) -> None:
    progress = CalibrationProgress(Console(stderr=True))
    measuring = Measuring(progress, CalibrationRequest(results=str(tmp_path)), as_json=False)
    measuring._verdict.run_id = "r"
    said = measuring._how_to_go_on("interrupted")
    assert "pullbench calibrate" in said and "--resume" not in said


def test_a_run_of_a_spec_does_not_go_on_with_a_calibration(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path / "results"))
    store.write_run(replace(sample.run(), kind="calibration"))
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(spec_data()))
    with (
        Workbench(load_spec(path), environ={}) as bench,
        pytest.raises(UsageError, match="pullbench calibrate"),
    ):
        ActiveRun.resume(bench, store, sample.RUN_ID)


def test_preflight_warnings_about_the_lab_are_hidden_and_failures_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    def finding(check: str, status: Status) -> Finding:
        return Finding(
            check=check,
            target="line-1",
            status=status,
            observed="seen",
            expected="wanted",
            remedy="fix",
            duration_s=0.1,
        )

    CalibrationProgress(Console()).checked([finding("http2", Status.WARN), finding("tls", Status.FAIL)])
    shown = capsys.readouterr().out
    assert "tls" in shown and "http2" not in shown


def test_the_shell_shows_every_row_with_its_verdict() -> None:
    row = {"quantity": "round trip", "line": "line-1", "unit": "s", "truth": 0.08, "measured": 0.081, "error": 0.001}
    row |= {"low": 0.0805, "high": 0.0815, "reference": None, "goal": "± 3%", "verdict": "met"}
    table = calibration_table({"rows": [row, row | {"verdict": "missed"}]})
    for shown, headings in ((table.table, calibration_words.HEADINGS), (table.narrow(), None)):
        assert isinstance(shown, Table)
        titles = [column.header for column in shown.columns]
        assert titles == list(headings) if headings else {"truth", "measured", "error"} < set(titles)
        assert [str(cell) for cell in shown.columns[-1].cells] == ["met", "missed"]
