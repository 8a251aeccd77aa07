"""`show`: the results of a stored run."""

import json
from pathlib import Path

import typer

from pullbench.cli.options import Json, Reports, Results, RunId
from pullbench.cli.terminal.console import print_stopping_findings, print_verdict, stdout_console
from pullbench.cli.terminal.safe_text import literal
from pullbench.cli.terminal.tables import result_table

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def show(run_id: RunId, results: Results = "results", reports: Reports = Path("reports"), as_json: Json = False) -> int:
    """Show the results of a stored run."""
    from pullbench.report.core.run_selection import choose_run
    from pullbench.report.render.render import find_report
    from pullbench.report.run.documents import run_document
    from pullbench.store.dataset import ResultStore

    store = ResultStore(results)
    found = choose_run(store, run_id).run_id
    report = find_report(reports, found)
    document = run_document(store, found, None if report is None else str(report))
    if as_json:
        print(json.dumps(document, indent=2, default=str))
        return 0
    stdout = stdout_console()
    stdout.print(literal(f"run {document['run_id']} ({document['name']}): {document['status']}"))
    if (table := result_table(document)) is not None:
        stdout.print(table)
        stdout.print()
    print_stopping_findings(stdout, document)
    print_verdict(stdout, document, evidence=True)
    return 0
