"""`regional`: one spec from several vantages."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pullbench.cli.options import Json, Reports, Results, Sets, SpecFile
from pullbench.cli.terminal import interruption
from pullbench.cli.terminal.console import stdout_console
from pullbench.cli.terminal.safe_text import literal
from pullbench.errors import IncompleteError, InterruptedRunError, UsageError
from pullbench.serving.flow import NoServerError, ServerGoneError, call_flow, quiet_prefect, server_address

if TYPE_CHECKING:
    from pullbench.app.regional import RegionalOutcome

app = typer.Typer(add_completion=False, rich_markup_mode=None)
_INTERRUPTED = "interrupted; the runs of the vantages are cancelled, what they measured is stored"
_STORED = (
    "vantages that have started continue and store what they measure, see `pullbench runs`; "
    "run the same command again when the server is back"
)


_Vantages = Annotated[
    list[str] | None,
    typer.Option(
        "--vantage",
        metavar="NAME",
        help="A deployment of pull-benchmark; repeatable. Default: all that have the tag 'vantage'.",
    ),
]
_InTurn = Annotated[
    bool, typer.Option("--in-turn", help="One vantage after the other, so that their loads do not overlap.")
]
_StartWithin = Annotated[
    float, typer.Option(min=0.05, metavar="MINUTES", help="How long to wait for a vantage to start.")
]
_FinishWithin = Annotated[
    float, typer.Option(min=0.05, metavar="MINUTES", help="How long to wait for a vantage to finish.")
]


@app.command()
def regional(
    spec: SpecFile,
    vantages: _Vantages = None,
    sets: Sets = None,
    in_turn: _InTurn = False,
    start_within: _StartWithin = 10.0,
    finish_within: _FinishWithin = 240.0,
    results: Results = "results",
    reports: Reports = Path("reports"),
    as_json: Json = False,
) -> int:
    """Measure a spec from several vantages; write one report.

    A vantage is where a client runs: a Prefect worker with a deployment of pull-benchmark. The report compares region by
    region.
    """
    from pullbench.app.run import refuse_secrets
    from pullbench.bench.specfile import load_spec

    load_spec(spec, sets=sets or [])
    refuse_secrets(sets or ())
    quiet_prefect()
    if server_address() is None:
        raise UsageError(
            "regional needs a Prefect server: set PREFECT_API_URL, such as http://127.0.0.1:4200/api (docs/vantages.md)"
        )
    outcome = _called(
        {
            "spec": str(spec),
            "vantages": vantages or [],
            "settings": sets or [],
            "in_turn": in_turn,
            "start_within_minutes": start_within,
            "finish_within_minutes": finish_within,
            "results": results,
            "reports": str(reports),
        }
    )
    _show(outcome, as_json=as_json)
    return int(outcome.exit_code)


def _called(parameters: Mapping[str, Any]) -> "RegionalOutcome":
    """Call the flow; an interruption or a server that is gone ends in one line that says how to go on."""
    from rich.console import Console

    from pullbench.app.progress import watching
    from pullbench.cli.measuring import server_may_go
    from pullbench.cli.terminal.progress import ShellProgress

    progress = ShellProgress(Console(stderr=True))
    try:
        with interruption.as_keyboard_interrupt(), server_may_go(), watching(progress):
            outcome: RegionalOutcome = call_flow("regional_benchmark", parameters, note=progress.note)
            return outcome
    except NoServerError:
        raise
    except ServerGoneError as error:
        raise IncompleteError(f"{error}; {_STORED}") from error
    except KeyboardInterrupt as interrupted:
        raise InterruptedRunError(_INTERRUPTED) from interrupted.__cause__


def _show(outcome: "RegionalOutcome", *, as_json: bool) -> None:
    from rich.table import Table

    from pullbench.report.core import numbers

    if as_json:
        print(json.dumps(outcome.document, indent=2, default=str))
        return
    stdout = stdout_console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("from", "to", "region", "configuration"):
        table.add_column(column)
    for column in ("median pull", "95% CI", "pulls"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in outcome.document["cells"]:
        table.add_row(
            literal(row["vantage"]),
            literal(row["registry"]),
            literal(row["region"]),
            literal(row["setting"]),
            numbers.seconds(row["median_s"]),
            numbers.seconds_range(row["median_low_s"], row["median_high_s"]),
            f"{row['succeeded']}/{row['pulls']}",
        )
    stdout.print(table)
    stdout.print()
    said = f"regional benchmark {outcome.document['regional_id']}: {outcome.message}"
    stdout.print(literal(said), soft_wrap=True)
    stdout.print(literal(f"report: {outcome.report}"), soft_wrap=True)
