"""`plan`: shows what a run of a spec will do."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pullbench.cli.options import Json, Results, Sets, SpecFile
from pullbench.cli.terminal.console import excluded_lines, stdout_console
from pullbench.cli.terminal.safe_text import literal
from pullbench.cli.terminal.tables import plan_table
from pullbench.errors import UsageError
from pullbench.model.text import count, format_bytes
from pullbench.serving.secrets import read_block

if TYPE_CHECKING:
    from pullbench.app.duration import ExpectedDuration
    from pullbench.model.facts import Facts
    from pullbench.model.plan import Plan
    from pullbench.model.spec import Spec

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def plan(
    spec: SpecFile,
    as_json: Json = False,
    offline: Annotated[bool, typer.Option("--offline", help="Contact no registry; sizes are then not known.")] = False,
    sets: Sets = None,
    results: Results = "results",
) -> int:
    """Show what a run will do: configurations, bytes, duration.

    It also shows which configurations are excluded, and why. The expected duration comes from the last stored run of the
    same name, images and registries.
    """
    from pullbench.app.budget import shortfalls
    from pullbench.app.duration import expected_duration
    from pullbench.bench.facts import offline_facts
    from pullbench.bench.specfile import load_spec
    from pullbench.bench.workbench import Workbench
    from pullbench.model.plan import plan as make_plan
    from pullbench.store.dataset import ResultStore

    loaded = load_spec(spec, sets=sets or [])
    if offline:
        facts = offline_facts()
    else:
        with Workbench(loaded, environ=os.environ, block=read_block) as bench:
            facts = bench.gather()
    made = make_plan(loaded.spec, facts)
    duration = expected_duration(ResultStore(results), loaded.spec, made)
    if as_json:
        document = made.as_dict() | {
            "shortfalls": shortfalls(loaded.spec.budget, made),
            "duration_s": None if duration is None else duration.as_dict(),
        }
        print(json.dumps(document | _stress_document(loaded.spec, facts), indent=2))
        return 0
    _print(loaded.spec, made, facts)
    if loaded.spec.stress is None:
        stdout_console().print(literal(_duration_text(duration, loaded.spec.name, spec)))
    else:
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
    for line in _not_read(facts):
        stdout.print(literal(line))
    for line in setup_notes(made, spec):
        stdout.print(literal(line))
    for shortfall in shortfalls(spec.budget, made):
        stdout.print(literal(f"{shortfall}: the run will stop there and keep its results"))
    size = "size not known" if made.bytes is None else format_bytes(made.bytes)
    repetitions = f"{count(spec.repetitions, 'repetition')} and {count(spec.warmup, 'warm-up')}"
    stdout.print(
        literal(
            f"{count(len(made.cells), 'configuration')}, {repetitions}: {count(len(made.trials), 'trial')}, "
            f"{count(sum(len(trial.images) for trial in made.trials), 'pull')}, {size}, "
            f"{count(made.manifest_requests, 'manifest request')}"
        )
    )


def _not_read(facts: "Facts") -> list[str]:
    """The images that could not be read, and why: one line for all images of a registry that share the reason."""
    alike: dict[tuple[str, str], list[str]] = {}
    for image in facts.images.values():
        if image.error_code is not None:
            alike.setdefault((image.registry, f"[{image.error_code}] {image.error}"), []).append(image.image)
    return [
        f"{images[0] if len(images) == 1 else count(len(images), 'image')} at {registry}: {why}"
        for (registry, why), images in alike.items()
    ]


def _duration_text(duration: "ExpectedDuration | None", name: str, spec: Path) -> str:
    if duration is None:
        return (
            f"duration not known: no earlier run of '{name}' measured these images here; "
            f"`pullbench run {spec}` reports the time left"
        )
    low, high = _time(duration.low_s), _time(duration.high_s)
    span = "" if low == high else f" ({low} to {high})"
    return f"expected duration: about {_time(duration.expected_s)}{span}, computed from run {duration.run_id}"


def _time(seconds: float) -> str:
    """`45 s`, `4 min`, `1 h 20 min`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s" if seconds >= 1 else "1 s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


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
