"""`run`: a spec measured."""

from pathlib import Path

import typer

from pullbench.cli.options import (
    Json,
    LogJson,
    NoReport,
    Reports,
    Results,
    Resume,
    Sets,
    SkipPreflight,
    SpecFile,
    Vantage,
)

app = typer.Typer(add_completion=False)


@app.command()
def run(
    spec: SpecFile,
    sets: Sets = None,
    results: Results = "results",
    reports: Reports = Path("reports"),
    resume: Resume = None,
    vantage: Vantage = "local",
    skip_preflight: SkipPreflight = False,
    no_report: NoReport = False,
    log_json: LogJson = None,
    as_json: Json = False,
) -> int:
    """Measure: facts, plan, preflight, trials, Parquet, report."""
    from pullbench.cli.commands.measure import run_spec

    return run_spec(
        spec,
        sets=sets or [],
        results=results,
        reports=reports,
        resume=resume,
        vantage=vantage,
        skip_preflight=skip_preflight,
        report=not no_report,
        log_json=log_json,
        as_json=as_json,
    )
