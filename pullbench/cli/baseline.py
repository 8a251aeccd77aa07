"""`baseline set`, `list` and `remove`: the run that later runs of its name are compared with."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from pullbench.cli.options import Json, Results, RunId
from pullbench.cli.terminal.console import stdout_console
from pullbench.cli.terminal.safe_text import literal, print_line
from pullbench.cli.terminal.tables import listing

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Choose the run that later runs are compared with.",
)


@app.command("set")
def set_baseline(run_id: RunId, results: Results = "results") -> int:
    """Compare later runs of the same name with this run."""
    from pullbench.report.core.run_selection import choose_new_baseline
    from pullbench.store.baselines import Baselines
    from pullbench.store.dataset import ResultStore

    store = ResultStore(results)
    made = Baselines(store).set(choose_new_baseline(store, run_id).run_id, datetime.now(UTC))
    print_line(
        f"{made.run_id} is now the baseline of '{made.name}'; compare a run with it: pullbench compare baseline RUN_ID"
    )
    return 0


@app.command("list")
def list_baselines(results: Results = "results", as_json: Json = False) -> int:
    """List the baselines by name."""
    from pullbench.store.baselines import Baselines
    from pullbench.store.dataset import ResultStore

    found = Baselines(ResultStore(results)).all()
    if as_json:
        rows = [{"name": entry.name, "run_id": entry.run_id, "set_at": entry.set_at.isoformat()} for entry in found]
        print(json.dumps(rows, indent=2))
        return 0
    if not found:
        text = f"no baseline is set in {results}; set one: pullbench baseline set RUN_ID"
        Console(stderr=True).print(literal(text), soft_wrap=True)
        return 0
    rows = [{"name": entry.name, "run": entry.run_id, "set (UTC)": f"{entry.set_at:%Y-%m-%d %H:%M}"} for entry in found]
    stdout_console().print(listing(("name", "run", "set (UTC)"), rows, folds=("name",)))
    return 0


@app.command("remove")
def remove_baseline(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of a benchmark, as in its spec.")],
    results: Results = "results",
) -> int:
    """Remove the baseline of a name; the run stays."""
    from pullbench.store.baselines import Baselines
    from pullbench.store.dataset import ResultStore

    Baselines(ResultStore(results)).remove(name)
    print_line(f"removed the baseline of '{name}'; its runs stay")
    return 0
