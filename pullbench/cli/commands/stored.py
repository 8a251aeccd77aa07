"""`runs`, `show` and `report`: what is stored, without Prefect."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pullbench.cli.terminal.console import plain, print_stopping_findings, print_verdict, stdout_console
from pullbench.cli.terminal.safe_text import tell, tell_document
from pullbench.cli.terminal.stress import result_table
from pullbench.cli.terminal.tables import RUN_ID_WIDTH, Fitting
from pullbench.errors import UsageError
from pullbench.model.record import Run
from pullbench.report.core.run_selection import choose_run
from pullbench.report.regional.runs import read_regional, regional_document
from pullbench.report.render.render import REGIONAL_PREFIX, find_report, render_regional, render_run_report
from pullbench.report.run.documents import run_document
from pullbench.report.run.markdown import run_summary
from pullbench.store.dataset import ResultStore

_FORMATS = ("html", "md", "json")


def list_runs(*, results: str, as_json: bool) -> int:
    found = ResultStore(results).runs()
    if as_json:
        rows = [
            {
                "run_id": run.run_id,
                "name": run.name,
                "started_at": run.started_at.isoformat(),
                "status": run.status,
                "labels": dict(run.labels),
                "vantage": run.vantage,
                "kind": run.kind,
            }
            for run in found
        ]
        print(json.dumps(rows, indent=2))
        return 0
    if not found:
        Console(stderr=True).print(plain(f"no runs in {results}; `pullbench demo` makes one"))
        return 0
    telling = "labels" if len({run.kind for run in found}) == 1 else "kind"
    few = ("run", "name", telling, "started (UTC)", "status")
    every = ("run", "kind", "name", "started (UTC)", "status", "vantage", "labels")
    stdout_console().print(Fitting(_runs_table(found, every), lambda: _runs_table(found, few)))
    return 0


def _runs_table(found: Sequence[Run], columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", min_width=RUN_ID_WIDTH if column == "run" else None)
    for run in found:
        told = {
            "run": run.run_id,
            "kind": run.kind,
            "name": run.name,
            "started (UTC)": f"{run.started_at:%Y-%m-%d %H:%M}",
            "status": run.status,
            "vantage": run.vantage,
            "labels": ", ".join(f"{key}={value}" for key, value in run.labels.items()),
        }
        table.add_row(*(plain(told[column]) for column in columns))
    return table


def show_run(run_id: str, *, results: str, reports: Path, as_json: bool) -> int:
    store = ResultStore(results)
    found = _find(store, run_id)
    report = find_report(reports, found)
    document = run_document(store, found, None if report is None else str(report))
    if as_json:
        print(json.dumps(document, indent=2, default=str))
        return 0
    stdout = stdout_console()
    stdout.print(plain(f"run {document['run_id']} ({document['name']}): {document['status']}"))
    if (table := result_table(document)) is not None:
        stdout.print(table)
        stdout.print()
    print_stopping_findings(stdout, document)
    print_verdict(stdout, document)
    return 0


def render_report(run_id: str, *, form: str, results: str, reports: Path) -> int:
    if form not in _FORMATS:
        raise UsageError(f"--format: '{form}' is none of {', '.join(_FORMATS)}")
    store = ResultStore(results)
    if run_id.startswith(REGIONAL_PREFIX):
        return _render_regional(run_id.removeprefix(REGIONAL_PREFIX), form=form, results=results, reports=reports)
    found = _find(store, run_id)
    if form == "html":
        tell(render_run_report(results, found, reports))
        return 0
    page = find_report(reports, found)
    document = run_document(store, found, None if page is None else str(page))
    if form == "md":
        tell_document(run_summary(document))
    else:
        print(json.dumps(document, indent=2, default=str))
    return 0


def _render_regional(regional_id: str, *, form: str, results: str, reports: Path) -> int:
    if form == "md":
        raise UsageError("--format: a regional benchmark has html and json")
    if form == "html":
        tell(render_regional(results, regional_id, reports))
    else:
        print(json.dumps(regional_document(read_regional(ResultStore(results), regional_id)), indent=2, default=str))
    return 0


def _find(store: ResultStore, run_id: str) -> str:
    return choose_run(store, run_id).run_id
