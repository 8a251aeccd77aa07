"""`run`: measures a spec."""

from pathlib import Path

import typer

from pullbench.cli.options import (
    Json,
    LogJson,
    NoReport,
    Only,
    Prefect,
    Reports,
    Results,
    Resume,
    Sets,
    Skip,
    SkipPreflight,
    SpecFile,
    Vantage,
)

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def run(
    spec: SpecFile,
    sets: Sets = None,
    results: Results = "results",
    reports: Reports = Path("reports"),
    resume: Resume = None,
    vantage: Vantage = "local",
    only: Only = None,
    skip: Skip = None,
    skip_preflight: SkipPreflight = False,
    no_report: NoReport = False,
    log_json: LogJson = None,
    prefect: Prefect = False,
    as_json: Json = False,
) -> int:
    """Measure a spec: checks, pulls, results, report.

    It checks the registries first and stops if a check fails. Each trial is stored as it ends, so an interrupted run can
    continue with --resume. Exit code 1: an SLO was missed or a check failed; 3: the run is incomplete.
    """
    from pullbench.app.run import RunRequest
    from pullbench.cli.measuring import measure_spec

    request = RunRequest(
        spec=spec,
        sets=tuple(sets or ()),
        vantage=vantage,
        results=results,
        reports=reports,
        resume=resume,
        only=tuple(only or ()),
        skip=tuple(skip or ()),
        skip_preflight=skip_preflight,
        report=not no_report,
        log_json=log_json,
    )
    return measure_spec(request, as_json=as_json, prefect=prefect)
