"""`runs prune`: takes old runs out of the results; tells what it would do unless it is told to."""

import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rich.table import Table

from pullbench.cli.commands.prune import read_age
from pullbench.cli.terminal.console import plain, stdout_console
from pullbench.cli.terminal.tables import RUN_ID_WIDTH, Fitting
from pullbench.errors import IncompleteError, UsageError
from pullbench.model.text import count, format_bytes
from pullbench.store.baselines import Baselines
from pullbench.store.dataset import ResultStore
from pullbench.store.retention import Choice, choose, half_removed, remove_run, run_bytes


def prune_runs(
    *,
    results: str,
    reports: Path | None,
    keep: int | None,
    older_than: str | None,
    names: Sequence[str],
    apply: bool,
    as_json: bool,
    now: datetime | None = None,
) -> int:
    """List, or with `apply` remove, the runs that no rule keeps.

    Raises IncompleteError where one could not be removed: those before it are gone, and the command goes on when called
    again.
    """
    if keep is None and older_than is None:
        raise UsageError("runs prune: say what may go, --keep 10 (of each benchmark) or --older-than 400d, or both")
    now = now or datetime.now(UTC)
    started_before = None if older_than is None else now - read_age(older_than)
    store = ResultStore(results)
    runs = [run for run in store.runs() if not names or any(fnmatchcase(run.name, glob) for glob in names)]
    baselines = {baseline.run_id for baseline in Baselines(store).all()}
    chosen = choose(runs, baselines=baselines, newest=keep, started_before=started_before, now=now)
    going = [choice for choice in chosen if choice.kept is None]
    sizes = {choice.run.run_id: run_bytes(store, choice.run.run_id) for choice in going}
    if apply:
        _remove(store, [*half_removed(store), *sizes], reports)
    if as_json:
        print(json.dumps(_document(chosen, sizes, applied=apply), indent=2))
    else:
        _show(chosen, sizes, applied=apply)
    return 0


def _remove(store: ResultStore, run_ids: Sequence[str], reports: Path | None) -> None:
    """One after the other, with its report; the report last, for it can be made again only from the run."""
    for done, run_id in enumerate(run_ids):
        try:
            remove_run(store, run_id)
            if reports is not None and (reports / run_id).is_dir():
                shutil.rmtree(reports / run_id)
        except OSError as error:
            raise IncompleteError(f"{reports}/{run_id}: {error.strerror}; {count(done, 'run')} removed") from error
        except IncompleteError as error:
            raise IncompleteError(f"{error}; {count(done, 'run')} removed, call it again for the others") from error


def _document(chosen: Sequence[Choice], sizes: Mapping[str, int], *, applied: bool) -> dict[str, Any]:
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


def _show(chosen: Sequence[Choice], sizes: Mapping[str, int], *, applied: bool) -> None:
    stdout = stdout_console()
    kept = len(chosen) - len(sizes)
    if not sizes:
        stdout.print(plain(f"nothing to remove: {count(kept, 'run')} {'is' if kept == 1 else 'are'} kept"))
        return
    freed = format_bytes(sum(sizes.values()))
    if applied:
        stdout.print(plain(f"removed {count(len(sizes), 'run')}, {freed} freed; {kept} kept"))
        return
    every, few = ("run", "name", "vantage", "started (UTC)", "status", "size", "what"), ("run", "name", "size", "what")
    stdout.print(Fitting(_table(chosen, sizes, every), lambda: _table(chosen, sizes, few), room=30))
    stdout.print()
    stdout.print(plain(f"{count(len(sizes), 'run')} would go and free {freed}; {kept} would stay"))
    stdout.print(plain("remove them with the same command and --apply"))


def _table(chosen: Sequence[Choice], sizes: Mapping[str, int], columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        width = RUN_ID_WIDTH if column == "run" else None
        table.add_column(column, justify="right" if column == "size" else "left", overflow="fold", min_width=width)
    for choice in chosen:
        run = choice.run
        told = {
            "run": run.run_id,
            "name": run.name,
            "vantage": run.vantage,
            "started (UTC)": f"{run.started_at:%Y-%m-%d %H:%M}",
            "status": run.status,
            "size": format_bytes(sizes[run.run_id]) if run.run_id in sizes else "",
            "what": "would go" if choice.kept is None else f"stays: {choice.kept}",
        }
        table.add_row(*(plain(told[column]) for column in columns))
    return table
