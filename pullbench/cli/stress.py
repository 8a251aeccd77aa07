"""`stress`: raises the load until an SLO is missed."""

from pathlib import Path
from typing import Annotated

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
from pullbench.errors import UsageError

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def stress(
    spec: SpecFile,
    sets: Sets = None,
    ramp: Annotated[
        str | None,
        typer.Option(metavar="concurrency|rate", help="What to raise: concurrent pulls, or pulls per second."),
    ] = None,
    steps: Annotated[
        str | None, typer.Option(metavar="LOADS", help="The loads to try, ascending, such as 1,2,4,8,16.")
    ] = None,
    hold: Annotated[
        int | None, typer.Option(metavar="TRIALS", help="Trials at the highest load, before it is lowered again.")
    ] = None,
    keep_going: Annotated[
        bool,
        typer.Option(
            "--keep-going",
            help="Raise the load further where this client, not the registry, is the limit. Default: stop and say so.",
        ),
    ] = False,
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
    """Raise the load until an SLO is missed: how much is too much?

    It reports the highest load that meets the SLO, the load that does not, and how the registry recovers.
    """
    from pullbench.app.run import RunRequest
    from pullbench.cli.measuring import measure_spec

    request = RunRequest(
        spec=spec,
        sets=(*(sets or ()), *assignments(ramp, steps, hold, keep_going=keep_going)),
        vantage=vantage,
        results=results,
        reports=reports,
        resume=resume,
        only=tuple(only or ()),
        skip=tuple(skip or ()),
        skip_preflight=skip_preflight,
        report=not no_report,
        log_json=log_json,
        kind="stress",
    )
    return measure_spec(request, as_json=as_json, prefect=prefect)


def assignments(ramp: str | None, steps: str | None, hold: int | None, *, keep_going: bool = False) -> list[str]:
    """The options as changes to the spec, which checks them and names the key path of a wrong one."""
    made = [] if ramp is None else [f"stress.ramp={ramp}"]
    if steps is not None:
        try:
            loads = [float(part) for part in steps.split(",")]
        except ValueError:
            raise UsageError(f"--steps {steps}: write the loads like 1,2,4,8,16") from None
        made.append(f"stress.steps=[{', '.join(f'{load:g}' for load in loads)}]")
    made += [] if hold is None else [f"stress.hold={hold}"]
    return [*made, "stress.at_client_limit=continue"] if keep_going else made
