"""`plan`: the cells and trials that a spec comes to."""

import json
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pullbench.cli.options import Json, Sets, SpecFile
from pullbench.cli.terminal.console import excluded_lines, stdout_console
from pullbench.cli.terminal.safe_text import literal
from pullbench.cli.terminal.tables import plan_table
from pullbench.errors import UsageError
from pullbench.model.text import format_bytes
from pullbench.serving.secrets import read_block

if TYPE_CHECKING:
    from pullbench.model.facts import Facts
    from pullbench.model.plan import Plan
    from pullbench.model.spec import Spec

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def plan(
    spec: SpecFile,
    as_json: Json = False,
    offline: Annotated[bool, typer.Option("--offline", help="Contact nothing; sizes are not known then.")] = False,
    sets: Sets = None,
) -> int:
    """Show the cells and trials, what is planned out and why, bytes and requests."""
    from pullbench.app.budget import shortfalls
    from pullbench.bench.facts import offline_facts
    from pullbench.bench.specfile import load_spec
    from pullbench.bench.workbench import Workbench
    from pullbench.model.plan import plan as make_plan

    loaded = load_spec(spec, sets=sets or [])
    if offline:
        facts = offline_facts()
    else:
        with Workbench(loaded, environ=os.environ, block=read_block) as bench:
            facts = bench.gather()
    made = make_plan(loaded.spec, facts)
    if as_json:
        document = made.as_dict() | {"shortfalls": shortfalls(loaded.spec.budget, made)}
        print(json.dumps(document | _stress_document(loaded.spec, facts), indent=2))
        return 0
    _print(loaded.spec, made, facts)
    if loaded.spec.stress is not None:
        stdout_console().print(literal(f"`pullbench stress {spec}`: {_stress_text(loaded.spec, facts)}"))
    return 0


def _print(spec: "Spec", made: "Plan", facts: "Facts") -> None:
    from pullbench.app.budget import shortfalls
    from pullbench.app.run import setup_notes
    from pullbench.model.plan import group_reasons

    stdout = stdout_console()
    stdout.print(plan_table(made))
    stdout.print()
    for line in excluded_lines(group_reasons(made.planned_out)):
        stdout.print(literal(line))
    for image in facts.images.values():
        if image.error_code is not None:
            stdout.print(literal(f"{image.image} at {image.registry}: [{image.error_code}] {image.error}"))
    for line in setup_notes(made, spec):
        stdout.print(literal(line))
    for shortfall in shortfalls(spec.budget, made):
        stdout.print(literal(f"{shortfall}: the run would stop there, with what it measured stored"))
    size = "size not known" if made.bytes is None else format_bytes(made.bytes)
    blocks = spec.warmup + spec.repetitions
    told = (
        f"{len(made.cells)} cells in {blocks} blocks ({spec.warmup} of them warm-up): {len(made.trials)} trials, "
        f"{sum(len(trial.images) for trial in made.trials)} pulls, {size}, {made.manifest_requests} manifest requests"
    )
    stdout.print(literal(told))


def _stress_document(spec: "Spec", facts: "Facts") -> dict[str, Any]:
    """What a stress test of the spec would come to at most, where the spec has one; or why there can be none."""
    from pullbench.model.stress_plan import plan_stress

    if spec.stress is None:
        return {}
    try:
        return {"stress": plan_stress(spec, facts).as_dict()}
    except UsageError as error:
        return {"stress": {"refused": str(error)}}


def _stress_text(spec: "Spec", facts: "Facts") -> str:
    from pullbench.cli.terminal.progress import stress_line
    from pullbench.model.stress_plan import plan_stress

    try:
        return stress_line(plan_stress(spec, facts))
    except UsageError as error:
        return str(error)
