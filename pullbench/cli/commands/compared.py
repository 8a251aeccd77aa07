"""`compare`, `trend` and `baseline`: stored runs beside each other, without Prefect."""

import json
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pullbench.app.compare import compare as compare_stored
from pullbench.app.progress import DirectSteps
from pullbench.cli.terminal.comparison import comparison_table, trend_table
from pullbench.cli.terminal.console import plain, stdout_console
from pullbench.cli.terminal.safe_text import tell
from pullbench.cli.terminal.tables import RUN_ID_WIDTH
from pullbench.report.compare import verdict as comparison_verdict
from pullbench.report.compare.runs import RunsCompared
from pullbench.report.core.run_selection import choose_candidate
from pullbench.report.render.render import check_out_dir, render_trend
from pullbench.report.trend.changes import headline, trend_document, trend_of
from pullbench.store.baselines import Baselines
from pullbench.store.dataset import ResultStore


def compare(
    baseline: str,
    candidate: str,
    *,
    results: str,
    reports: Path,
    fail_on: str | None,
    any_machine: bool,
    report: bool,
    as_json: bool,
) -> int:
    """Compare two runs; 1 where `fail_on` asks for it and a regression was found, else 0."""
    done = compare_stored(
        baseline,
        candidate,
        results=results,
        reports=reports,
        fail_on=fail_on,
        any_machine=any_machine,
        report=report,
        steps=DirectSteps(),
    )
    if as_json:
        page = None if done.page is None else str(done.page)
        print(json.dumps(comparison_verdict.comparison_document(done.found, page), indent=2, default=str))
    else:
        _show(done.found, done.page)
    if said := done.failure or done.note:
        Console(stderr=True).print(plain(f"pullbench: {said}"), soft_wrap=True)
    return 1 if done.failure else 0


def _show(found: RunsCompared, page: Path | None) -> None:
    stdout, said = stdout_console(), comparison_verdict.headline(found)
    for side, stored in (("baseline", found.baseline), ("candidate", found.candidate)):
        run = stored.run
        stdout.print(plain(f"{side:9}  {run.run_id}  {run.name}  {run.started_at:%Y-%m-%d %H:%M} UTC"))
    for warning in comparison_verdict.warnings(found):
        stdout.print(plain(f"warning: {warning}"), style="yellow")
    for entry in found.differences:
        stdout.print(plain(f"differs: {entry.kind}: {entry.what}: {entry.baseline} → {entry.candidate}"), style="dim")
    stdout.print()
    if len(found.cells):
        stdout.print(comparison_table(found.cells))
        stdout.print()
    stdout.print(plain(said.title), style="bold")
    stdout.print(plain(said.sentence))
    if page is not None:
        stdout.print(plain(f"report: {page}"))


def show_trend(
    name: str, *, last: int | None, vantage: str | None, results: str, reports: Path, report: bool, as_json: bool
) -> int:
    """Print a benchmark's runs and steps; a step is news, not a failure."""
    store = ResultStore(results)
    found = trend_of(store, name, last=last, vantage=vantage)
    page = None
    if report:
        check_out_dir(reports)
        page = render_trend(results, name, last, reports, vantage=vantage, found=found)
    if as_json:
        print(json.dumps(trend_document(found, None if page is None else str(page)), indent=2, default=str))
        return 0
    stdout, said = stdout_console(), headline(found)
    stdout.print(trend_table(found))
    stdout.print()
    stdout.print(plain(said.title), style="bold")
    stdout.print(plain(said.sentence))
    if page is not None:
        stdout.print(plain(f"report: {page}"))
    return 0


def set_baseline(run: str, *, results: str) -> int:
    store = ResultStore(results)
    made = Baselines(store).set(choose_candidate(store, run).run_id, datetime.now(UTC))
    tell(f"{made.run_id} is the baseline of '{made.name}' now: pullbench compare baseline RUN_ID")
    return 0


def list_baselines(*, results: str, as_json: bool) -> int:
    found = Baselines(ResultStore(results)).all()
    if as_json:
        rows = [{"name": entry.name, "run_id": entry.run_id, "set_at": entry.set_at.isoformat()} for entry in found]
        print(json.dumps(rows, indent=2))
        return 0
    if not found:
        told = f"no baseline is set in {results}: pullbench baseline set RUN_ID"
        Console(stderr=True).print(plain(told), soft_wrap=True)
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "run", "set (UTC)"):
        table.add_column(column, overflow="fold", min_width=RUN_ID_WIDTH if column == "run" else None)
    for entry in found:
        table.add_row(plain(entry.name), plain(entry.run_id), f"{entry.set_at:%Y-%m-%d %H:%M}")
    stdout_console().print(table)
    return 0


def remove_baseline(name: str, *, results: str) -> int:
    Baselines(ResultStore(results)).remove(name)
    tell(f"'{name}' has no baseline any more; its runs stay")
    return 0
