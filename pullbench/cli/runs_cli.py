"""The commands `runs` and `runs prune`: what pullbench/cli/main.py is for the others."""

from pathlib import Path
from typing import Annotated

import typer

from pullbench.cli.options import Json, Results
from pullbench.errors import UsageError

app = typer.Typer(invoke_without_command=True)


@app.callback()
def runs(context: typer.Context, results: Results = "results", as_json: Json = False) -> None:
    """List the stored runs, newest first; `runs prune` removes old ones."""
    if context.invoked_subcommand is not None:
        sources = [context.get_parameter_source(name) for name in context.params]
        if any(source is not None and source.name == "COMMANDLINE" for source in sources):
            raise UsageError(f"runs: write --results and --json after {context.invoked_subcommand}, not before it")
        return
    from pullbench.cli.commands.stored import list_runs

    raise typer.Exit(list_runs(results=results, as_json=as_json))


@app.command()
def prune(
    keep: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", help="Keep the newest N complete runs of each benchmark and vantage; 0 keeps none."
        ),
    ] = None,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="AGE", help="Only runs started so long ago: 24h, 90d, 52w.")
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="GLOB", help="Only benchmarks so named, such as 'try-*'; may be given again."),
    ] = None,
    reports: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Remove their reports from this folder too.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Remove; without it, only tell.")] = False,
    results: Results = "results",
    as_json: Json = False,
) -> None:
    """Remove stored runs; without --apply, list what would go. Baselines and the newest of each name stay."""
    from pullbench.cli.commands.runs_prune import prune_runs

    code = prune_runs(
        results=results,
        reports=reports,
        keep=keep,
        older_than=older_than,
        names=name or [],
        apply=apply,
        as_json=as_json,
    )
    raise typer.Exit(code)
