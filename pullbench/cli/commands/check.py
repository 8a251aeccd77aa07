"""`preflight` and `plan`: answered without Prefect."""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pullbench.app.budget import shortfalls
from pullbench.app.preflight import Checked, check, exit_code, verdict
from pullbench.app.run import setup_notes
from pullbench.bench.facts import offline_facts
from pullbench.bench.specfile import load_spec
from pullbench.bench.workbench import Workbench
from pullbench.cli.terminal.console import plan_table, planned_out_lines, stdout_console, waiting
from pullbench.cli.terminal.findings import STATUS_STYLES, findings_view
from pullbench.cli.terminal.safe_text import plain
from pullbench.errors import UsageError
from pullbench.model.facts import Facts
from pullbench.model.finding import findings_document
from pullbench.model.plan import group_reasons
from pullbench.model.plan import plan as make_plan
from pullbench.model.spec import Spec
from pullbench.model.stress_plan import plan_stress
from pullbench.model.text import format_bytes
from pullbench.preflight.junit import junit_xml
from pullbench.serving.secrets import prefect_secret
from pullbench.store.files import put_on_disk


def run_preflight(
    spec: Path,
    *,
    sets: Sequence[str],
    only: Sequence[str],
    skip: Sequence[str],
    junit: Path | None,
    everything: bool,
    as_json: bool,
) -> int:
    """The JUnit file is written whatever the checks found; one that cannot be is told before anything is contacted, or
    else after what was found.
    """
    if junit is not None:
        _refuse_unwritable(junit)
    checked_at = datetime.now(UTC)
    with waiting("checking"):
        checked = check(spec, sets=sets, only=only, skip=skip, environ=os.environ, block=prefect_secret)
    _print(checked, everything=everything, as_json=as_json)
    if junit is not None:
        _write_junit(junit, junit_xml(checked.findings, name=checked.name, checked_at=checked_at))
    return exit_code(verdict(checked.findings)[0])


def _print(checked: Checked, *, everything: bool, as_json: bool) -> None:
    if as_json:
        document = findings_document(checked.findings)
        print(json.dumps(document | {"planned_out": dict(checked.planned_out)}, indent=2))
        return
    status, sentence = verdict(checked.findings)
    stdout = stdout_console(folds_in_pipes=False)
    stdout.print(findings_view(checked.findings, everything=everything))
    for line in planned_out_lines(checked.planned_out):
        stdout.print(plain(line))
    if not everything:
        stdout.print()
        sentence += "; --all shows each in full"
    stdout.print(plain(sentence, style=STATUS_STYLES[status]))


def _refuse_unwritable(file: Path) -> None:
    if file.is_dir():
        raise UsageError(f"--junit {file}: is a folder; name a file in it")
    if file.parent.exists() and not os.access(file.parent, os.W_OK):
        raise UsageError(f"--junit {file}: no file may be written there")


def _write_junit(file: Path, content: bytes) -> None:
    try:
        put_on_disk(file, content)
    except OSError as error:
        raise UsageError(f"--junit {file}: cannot be written: {error.strerror}") from error


def show_plan(spec: Path, *, sets: Sequence[str], offline: bool, as_json: bool) -> int:
    loaded = load_spec(spec, sets=sets)
    if offline:
        facts = offline_facts()
    else:
        with Workbench(loaded, environ=os.environ, block=prefect_secret) as bench:
            facts = bench.gather()
    made = make_plan(loaded.spec, facts)
    if as_json:
        document = made.as_dict() | {"shortfalls": shortfalls(loaded.spec.budget, made)}
        print(json.dumps(document | _stress_document(loaded.spec, facts), indent=2))
        return 0
    stdout = stdout_console()
    stdout.print(plan_table(made))
    stdout.print()
    for line in planned_out_lines(group_reasons(made.planned_out)):
        stdout.print(plain(line))
    for image in facts.images.values():
        if image.error_code is not None:
            stdout.print(plain(f"{image.image} at {image.registry}: [{image.error_code}] {image.error}"))
    for line in setup_notes(made, loaded.spec):
        stdout.print(plain(line))
    for shortfall in shortfalls(loaded.spec.budget, made):
        stdout.print(plain(f"{shortfall}: the run would stop there, with what it measured stored"))
    size = "size not known" if made.bytes is None else format_bytes(made.bytes)
    blocks = loaded.spec.warmup + loaded.spec.repetitions
    told = (
        f"{len(made.cells)} cells in {blocks} blocks ({loaded.spec.warmup} of them warm-up): {len(made.trials)} trials, "
        f"{sum(len(trial.images) for trial in made.trials)} pulls, {size}, {made.manifest_requests} manifest requests"
    )
    stdout.print(plain(told))
    if loaded.spec.stress is not None:
        stdout.print(plain(f"`pullbench stress {spec}`: {_stress_text(loaded.spec, facts)}"))
    return 0


def _stress_document(spec: Spec, facts: Facts) -> dict[str, Any]:
    """What a stress test of the spec would come to at most, where the spec has one; or why there can be none."""
    if spec.stress is None:
        return {}
    try:
        return {"stress": plan_stress(spec, facts).as_dict()}
    except UsageError as error:
        return {"stress": {"refused": str(error)}}


def _stress_text(spec: Spec, facts: Facts) -> str:
    try:
        from pullbench.cli.terminal.stress import stress_line  # brings pandas, which preflight must not wait for

        return stress_line(plan_stress(spec, facts))
    except UsageError as error:
        return str(error)
