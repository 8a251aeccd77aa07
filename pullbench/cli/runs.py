"""`runs` and `runs prune`: lists the stored runs, and removes old ones."""

import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pullbench.cli.options import Json, Results, read_age
from pullbench.cli.terminal.console import stdout_console
from pullbench.cli.terminal.safe_text import literal
from pullbench.cli.terminal.tables import ResponsiveTable, listing
from pullbench.errors import IncompleteError, UsageError
from pullbench.model.text import count, format_bytes

if TYPE_CHECKING:
    from pullbench.model.record import RunRecord
    from pullbench.store.dataset import ResultStore
    from pullbench.store.retention import RetentionDecision

app = typer.Typer(add_completion=False, rich_markup_mode=None, invoke_without_command=True)
_ROOM_OF_A_NAME = 8
"""How many columns of characters a name gets beyond its longest word, or a run is shown without its start."""


@app.callback()
def runs(context: typer.Context, results: Results = "results", as_json: Json = False) -> int:
    """List the stored runs, newest first, or remove old ones."""
    from pullbench.store.dataset import ResultStore

    if context.invoked_subcommand is not None:
        sources = [context.get_parameter_source(name) for name in context.params]
        if any(source is not None and source.name == "COMMANDLINE" for source in sources):
            raise UsageError(f"runs: write --results and --json after {context.invoked_subcommand}, not before it")
        return 0
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
        Console(stderr=True).print(literal(f"no runs in {results}; `pullbench demo` makes one"))
        return 0
    kinds = [] if len({run.kind for run in found}) == 1 else ["kind"]
    few = ("run", "name", *kinds, "started (UTC)", "status")
    every = ("run", "kind", "name", "started (UTC)", "status", "vantage", "labels")
    fewest = ("run", "name", "status")
    narrow = ResponsiveTable(_runs_table(found, few), lambda: _runs_table(found, fewest), room=_ROOM_OF_A_NAME)
    stdout_console().print(ResponsiveTable(_runs_table(found, every), lambda: narrow))
    return 0


def _runs_table(found: "Sequence[RunRecord]", columns: Sequence[str]) -> Table:
    rows = [
        {
            "run": run.run_id,
            "kind": run.kind,
            "name": run.name,
            "started (UTC)": f"{run.started_at:%Y-%m-%d %H:%M}",
            "status": run.status,
            "vantage": run.vantage,
            "labels": ", ".join(f"{key}={value}" for key, value in run.labels.items()),
        }
        for run in found
    ]
    return listing(columns, rows, folds=("name", "vantage", "labels"))


@app.command()
def prune(
    keep: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Keep the newest N complete runs of each benchmark and vantage."),
    ] = None,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="AGE", help="Only runs older than this: 24h, 90d, 52w.")
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="GLOB", help="Only benchmarks with this name, such as 'try-*'; repeatable."),
    ] = None,
    reports: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also remove their reports from this directory.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Remove. Without it, only list.")] = False,
    results: Results = "results",
    as_json: Json = False,
) -> int:
    """Remove old runs. Without --apply, list them.

    Baselines and the newest run of each name always stay.
    """
    return prune_runs(
        results=results,
        reports=reports,
        keep=keep,
        older_than=older_than,
        names=name or [],
        apply=apply,
        as_json=as_json,
        now=datetime.now(UTC),
    )


def prune_runs(
    *,
    results: str,
    reports: Path | None,
    keep: int | None,
    older_than: str | None,
    names: Sequence[str],
    apply: bool,
    as_json: bool,
    now: datetime,
) -> int:
    """List, or with `apply` remove, the runs that no rule keeps.

    Raises IncompleteError where one could not be removed: those before it are gone, and the command goes on when called
    again.
    """
    from pullbench.store.baselines import Baselines
    from pullbench.store.dataset import ResultStore
    from pullbench.store.retention import decide_retention, half_removed, run_bytes

    if keep is None and older_than is None:
        raise UsageError("runs prune: give --keep 10 (of each benchmark), --older-than 400d, or both")
    started_before = None if older_than is None else now - read_age(older_than)
    store = ResultStore(results)
    runs = [run for run in store.runs() if not names or any(fnmatchcase(run.name, glob) for glob in names)]
    baselines = {baseline.run_id for baseline in Baselines(store).all()}
    chosen = decide_retention(runs, baselines=baselines, newest=keep, started_before=started_before, now=now)
    going = [choice for choice in chosen if choice.kept is None]
    sizes = {choice.run.run_id: run_bytes(store, choice.run.run_id) for choice in going}
    if apply:
        _remove(store, [*half_removed(store), *sizes], reports)
    if as_json:
        print(json.dumps(_document(chosen, sizes, applied=apply), indent=2))
    else:
        _show(chosen, sizes, applied=apply)
    return 0


def _remove(store: "ResultStore", run_ids: Sequence[str], reports: Path | None) -> None:
    """One after the other, with its report; the report last, for it can be made again only from the run."""
    from pullbench.store.retention import remove_run

    for done, run_id in enumerate(run_ids):
        try:
            remove_run(store, run_id)
            if reports is not None and (reports / run_id).is_dir():
                shutil.rmtree(reports / run_id)
        except OSError as error:
            raise IncompleteError(f"{reports}/{run_id}: {error.strerror}; {count(done, 'run')} removed") from error
        except IncompleteError as error:
            raise IncompleteError(f"{error}; {count(done, 'run')} removed, run it again for the others") from error


def _document(chosen: "Sequence[RetentionDecision]", sizes: Mapping[str, int], *, applied: bool) -> dict[str, Any]:
    rows = [
        {
            "run_id": choice.run.run_id,
            "name": choice.run.name,
            "vantage": choice.run.vantage,
            "started_at": choice.run.started_at.isoformat(),
            "status": choice.run.status,
            "bytes": sizes.get(choice.run.run_id),
            "action": "kept" if choice.kept else "removed" if applied else "would remove",
            "reason": choice.kept,
        }
        for choice in chosen
    ]
    return {"applied": applied, "freed_bytes": sum(sizes.values()), "runs": rows}


def _show(chosen: "Sequence[RetentionDecision]", sizes: Mapping[str, int], *, applied: bool) -> None:
    stdout = stdout_console()
    kept = len(chosen) - len(sizes)
    if not sizes:
        stdout.print(literal(f"nothing to remove: {count(kept, 'run')} {'is' if kept == 1 else 'are'} kept"))
        return
    freed = format_bytes(sum(sizes.values()))
    if applied:
        stdout.print(literal(f"removed {count(len(sizes), 'run')}, {freed} freed; {kept} kept"))
        return
    every, few = (
        ("run", "name", "vantage", "started (UTC)", "status", "size", "action"),
        ("run", "name", "size", "action"),
    )
    stdout.print(ResponsiveTable(_table(chosen, sizes, every), lambda: _table(chosen, sizes, few), room=30))
    stdout.print()
    stdout.print(literal(f"{count(len(sizes), 'run')} would be removed, {freed}; {kept} would stay"))
    stdout.print(literal("remove them: the same command with --apply"))


def _table(chosen: "Sequence[RetentionDecision]", sizes: Mapping[str, int], columns: Sequence[str]) -> Table:
    rows = [
        {
            "run": choice.run.run_id,
            "name": choice.run.name,
            "vantage": choice.run.vantage,
            "started (UTC)": f"{choice.run.started_at:%Y-%m-%d %H:%M}",
            "status": choice.run.status,
            "size": format_bytes(sizes[choice.run.run_id]) if choice.run.run_id in sizes else "",
            "action": "would be removed" if choice.kept is None else f"stays: {choice.kept}",
        }
        for choice in chosen
    ]
    return listing(columns, rows, folds=("name", "vantage", "action"))
