"""What the shell shows of a run's document: the words and numbers of the report."""

import dataclasses
import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from pullbench.cli import publish, runs
from pullbench.cli.terminal.console import print_stopping_findings, print_verdict, without_excluded
from pullbench.cli.terminal.progress import ShellProgress
from pullbench.cli.terminal.tables import cells_table, slo_table
from pullbench.model.finding import Finding, Status
from pullbench.model.plan import FACTORS
from pullbench.report.core import numbers
from pullbench.report.core.client_limit import limit_notices, limit_short
from pullbench.report.run.documents import run_document
from pullbench.report.run.verdicts import excluded_notes
from pullbench.stats.summary import median_estimate
from tests.report import synthetic
from tests.report.synthetic import RUN_ID, Recipe
from tests.store import sample


def shown(*printed: Any, width: int = 240) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    for what in printed:
        console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def verdict(document: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=240, highlight=False)
    print_verdict(console, document)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def cell(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = dict.fromkeys(FACTORS, "x") | {
        "engine": "wire",
        "concurrency": 2,
        "pulls": 8,
        "succeeded": 8,
    }
    given |= {"median_s": 0.4, "median_low_s": 0.39, "median_high_s": 0.41, "p90_s": None, "p95_s": None, "p99_s": None}
    given |= dict.fromkeys(("download_share", "extract_share")) | {"images_per_s": 10.0}
    return given | {"wall_per_pull_s": 0.1, "throughput_bytes_per_s": 9.61e7} | changes


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    recipe = Recipe(concurrency=(1, 4), slo={"mean_pull_s": 1.9, "success_rate": 0.999, "consecutive_failures": 3})
    return run_document(synthetic.make("memory://console", recipe), RUN_ID)


def test_long_times_read_as_in_the_report() -> None:
    slow = {"median_s": 754.2, "median_low_s": 119.6, "median_high_s": 7_384.0}
    said = shown(cells_table([cell(**slow)]))
    for value in slow.values():
        assert numbers.seconds(value) in said
    assert "12 min 34 s" in said


def test_a_client_limit_is_said_with_its_share_and_how_many_configurations_have_it() -> None:
    calm = [cell(client_busy=0.4, engine_kind="wire") for _ in range(3)]
    assert limit_notices([calm[0] | {"client_busy": None}, *calm[1:]]) == []
    (said,) = limit_notices([calm[0] | {"client_busy": 0.85}, calm[1] | {"client_busy": 0.97}, *calm[2:]])
    assert "in 2 of 3 configurations" in said and "97%" in said


def test_a_machine_that_a_daemon_keeps_busy_is_no_client_limit_of_the_registry() -> None:
    busy = {"client_busy": 1.0}
    wire, docker = cell(engine_kind="wire", **busy), cell(engine_kind="docker", **busy)
    ours, theirs = limit_notices([docker, wire])
    assert "registry may be faster" in ours and "docker" in theirs and "registry" not in theirs


def test_what_is_not_known_is_a_dash_and_times_are_aligned() -> None:
    said = shown(cells_table([cell(registry="a"), cell(registry="b", median_s=1.5, median_low_s=None)])).splitlines()[
        1:
    ]
    assert "–" in said[2]
    assert re.search(r"400 ms ", said[1]) and re.search(r"1\.50 s ", said[2])
    assert said[1].index("400 ms") + len("400 ms") == said[2].index("1.50 s") + len("1.50 s")
    assert " 96.1 " in said[1]


def test_only_percentiles_that_have_a_value_have_a_column() -> None:
    _, head, first, second = shown(cells_table([cell(registry="a", p90_s=0.777), cell(registry="b")])).splitlines()
    assert "p90" in head and "p95" not in head and "p99" not in head
    assert "777 ms" in first and " – " in second
    none = shown(cells_table([cell()])).splitlines()[1]
    assert not re.search(r"p9\d", none) and "images/s" in none


def test_the_evidence_of_an_slo_is_printed_on_request(document: dict[str, Any]) -> None:
    console = Console(file=io.StringIO(), width=240, highlight=False)
    print_verdict(console, document, evidence=True)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert said.startswith(verdict(document))
    (mean,) = [line for line in said.splitlines() if line.startswith("Mean pull time")]
    (row,) = [row for row in document["slo"] if row["name"] == "mean_pull_s"]
    assert numbers.seconds(row["measured"]) in mean and "1.90 s" in mean and " met " in mean
    assert "mean_pull_s" not in said and "not_shown" not in said


def test_findings_that_stopped_a_run_are_printed_with_what_to_do(document: dict[str, Any]) -> None:
    findings = document["preflight"]["findings"]
    failed = findings[0] | {"status": "fail", "remedy": "mend the name"}
    console = Console(file=io.StringIO(), width=240, highlight=False)
    print_stopping_findings(console, {"preflight": {"findings": [failed, *findings[1:]]}})
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "mend the name" in said and "dns" in said
    assert "rate-limit" not in said, "a warning stops no run"
    print_stopping_findings(console, document)
    assert console.file.getvalue() == said  # type: ignore[attr-defined]


def test_a_run_without_slos_has_no_table_of_them(document: dict[str, Any]) -> None:
    console = Console(file=io.StringIO(), width=240, highlight=False)
    print_verdict(console, document | {"slo": []}, evidence=True)
    assert console.file.getvalue() == verdict(document)  # type: ignore[attr-defined]


def test_a_hostile_name_is_no_markup_and_steers_no_terminal(document: dict[str, Any]) -> None:
    said = verdict(document | {"summary": document["summary"] | {"notes": ["[red]\x1b[31mx"]}})
    assert "[red]" in said and "\x1b" not in said


@pytest.mark.parametrize(("terminal", "lines"), [(False, 1), (True, 2)])
def test_a_note_is_one_line_where_there_is_no_terminal(terminal: bool, lines: int) -> None:
    console = Console(file=io.StringIO(), width=40, force_terminal=terminal)
    ShellProgress(console).note("step 0, up: 1 pull at once: mean pull 153 ms, held")
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("\n") == lines


@pytest.mark.parametrize("times", [([1.0, 9.0, 9.0], [1.0, 1.0, 1.0]), ([4.0],), ([0.0, 0.0], [2.0, 2.0])])
def test_the_progress_has_the_p50_of_the_tables(times: tuple[list[float], ...]) -> None:
    progress = ShellProgress(Console(file=io.StringIO(), width=200, highlight=False))
    progress._total = len(times) + 1
    warm_up = dataclasses.replace(sample.trial(0), block=0, warmup=True)
    measured = [dataclasses.replace(sample.trial(0), block=n, warmup=False) for n in range(1, len(times) + 1)]
    for trial, seconds_of in zip([warm_up, *measured], ([99.0], *times), strict=True):
        pulls = tuple(sample.pull(n, duration_s=each) for n, each in enumerate(seconds_of))
        failed = sample.pull(9, ok=False, duration_s=50.0)
        progress.measured(trial, dataclasses.replace(sample.result(0), pulls=(*pulls, failed)))
    last = progress._console.file.getvalue().splitlines()[-1]  # type: ignore[attr-defined]
    assert f"p50 {numbers.seconds(median_estimate(times).value)}" in last


@pytest.mark.parametrize(("terminal", "whole"), [(False, True), (True, False)])
def test_what_preflight_found_can_be_copied_from_the_log_of_a_run(terminal: bool, whole: bool) -> None:
    console = Console(file=io.StringIO(), width=40, highlight=False, force_terminal=terminal)
    remedy = "`sudo sh -c 'a command that is longer than any line of a narrow terminal' && systemctl reload docker`"
    failed = Finding(
        check="tcp", target="eu", status=Status.FAIL, observed="saw " * 30, expected="better", remedy=remedy
    )
    ShellProgress(console).checked([failed])
    assert (remedy in console.file.getvalue()) is whole  # type: ignore[attr-defined]


def test_the_headline_is_one_line_where_there_is_no_terminal(document: dict[str, Any]) -> None:
    console = Console(file=io.StringIO(), width=40, highlight=False)
    print_verdict(console, document)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line.split()[0] for line in lines] == ["TIME", "BEST", "SLO", "NOTES"]
    assert all(sentence in lines[1] for sentence in document["summary"]["best"])


def test_what_was_excluded_is_in_no_note_where_the_start_of_the_run_has_printed_it(document: dict[str, Any]) -> None:
    assert document["planned_out"] and "excluded" in verdict(document)
    less = without_excluded(document)
    assert "excluded" not in verdict(less)
    assert [note for note in document["summary"]["notes"] if note not in less["summary"]["notes"]] == excluded_notes(
        document["planned_out"]
    )
    assert without_excluded(less) == less


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_narrow_terminal_names_every_setting_and_cuts_no_number(document: dict[str, Any], width: int) -> None:
    made = shown(cells_table(document["cells"]), width=width)
    assert "…" not in made
    words = made.split()
    for mine in document["cells"]:
        assert {str(mine["concurrency"]), mine["registry"], f"{mine['succeeded']}/{mine['pulls']}"} <= set(words)


def test_slos_are_sentences_on_a_narrow_terminal(document: dict[str, Any]) -> None:
    narrow, wide = shown(slo_table(document["slo"]), width=80), shown(slo_table(document["slo"]))
    assert wide.startswith("SLO ") and not narrow.startswith("SLO ")
    assert "of docker: " in narrow and "…" not in narrow


def test_a_run_id_can_be_copied_from_a_terminal_of_80_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = synthetic.make("memory://console-ids", Recipe(engines=("wire",), concurrency=(1,), blocks=1, pulls=1))
    monkeypatch.setattr(runs, "stdout_console", lambda: Console(width=80, highlight=False))
    done = CliRunner().invoke(runs.app, ["--results", store.url])
    assert done.exit_code == 0
    assert RUN_ID in done.output


def test_a_site_of_no_runs_says_where_it_looked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = tmp_path / "resluts"
    assert publish.publish(results=str(where), reports=tmp_path / "reports", url=None, render=False) == 0
    told = capsys.readouterr()
    assert told.out.strip().endswith("index.html") and "resluts: " in told.err


def test_other_load_on_the_machine_is_named_where_it_is_known() -> None:
    docker = cell(engine_kind="docker", client_busy=1.0, client_limit="cores")
    (idle,) = limit_notices([docker], {"load_before": 0.2, "cores": 2})
    (busy,) = limit_notices([docker], {"load_before": 12.0, "cores": 2})
    assert "load" not in idle and "load 12" in busy and "2 cores" in busy
    assert limit_notices([docker], {}) == [idle]


def test_a_limit_names_the_resource() -> None:
    kinds = {name: limit_short(cell(client_busy=0.9, client_limit=name)) for name in ("cores", "bytes", "lag")}
    assert kinds["cores"] == "CPU 90%" and len(set(kinds.values())) == 3


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_two_caches_have_two_names(width: int) -> None:
    rows = [cell(proxy="cache", cache="cold", proxy_cache=state) for state in ("cold", "warm")]
    said = shown(cells_table(rows))
    assert "cold client cache" in said and "mirror cache" in said
