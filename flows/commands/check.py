"""`preflight` and `plan`: answered without Prefect."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from flows.budget import shortfalls
from flows.check import check, exit_code, verdict
from flows.console import findings_table, plain, plan_table, planned_out_lines, stdout_console
from flows.prefect_secret import prefect_secret
from pullbench.bench.facts import offline_facts
from pullbench.bench.session import Session
from pullbench.bench.specfile import load_spec
from pullbench.model.finding import findings_document
from pullbench.model.plan import group_reasons
from pullbench.model.plan import plan as make_plan
from pullbench.model.sizes import format_bytes
from pullbench.store.dataset import ResultStore


def run_preflight(spec: Path, *, sets: Sequence[str], only: Sequence[str], skip: Sequence[str], as_json: bool) -> int:
    checked = check(spec, sets=sets, only=only, skip=skip, environ=os.environ, block=prefect_secret)
    status, sentence = verdict(checked.findings)
    if as_json:
        document = findings_document(checked.findings)
        print(json.dumps(document | {"planned_out": dict(checked.planned_out)}, indent=2))
    else:
        stdout = stdout_console()
        stdout.print(findings_table(checked.findings))
        stdout.print()
        for line in planned_out_lines(checked.planned_out):
            stdout.print(plain(line))
        stdout.print(sentence, markup=False)
    return exit_code(status)


def show_plan(spec: Path, *, sets: Sequence[str], offline: bool, as_json: bool) -> int:
    loaded = load_spec(spec, sets=sets)
    if offline:
        facts = offline_facts()
    else:
        with Session(loaded, ResultStore("memory://"), vantage="", environ=os.environ, block=prefect_secret) as session:
            facts = session.gather()
    made = make_plan(loaded.spec, facts)
    if as_json:
        print(json.dumps(made.as_dict() | {"shortfalls": shortfalls(loaded.spec.budget, made)}, indent=2))
        return 0
    stdout = stdout_console()
    stdout.print(plan_table(made))
    stdout.print()
    for line in planned_out_lines(group_reasons(made.planned_out)):
        stdout.print(plain(line))
    for image in facts.images.values():
        if image.error_code is not None:
            stdout.print(plain(f"{image.image} at {image.registry}: [{image.error_code}] {image.error}"))
    for shortfall in shortfalls(loaded.spec.budget, made):
        stdout.print(plain(f"{shortfall}: the run would stop there, with what it measured stored"))
    size = "size not known" if made.bytes is None else format_bytes(made.bytes)
    blocks = loaded.spec.warmup + loaded.spec.repetitions
    stdout.print(
        f"{len(made.cells)} cells × {blocks} blocks ({loaded.spec.warmup} of them warm-up) = {len(made.trials)} trials, "
        f"{sum(len(trial.images) for trial in made.trials)} pulls, {size}, {made.manifest_requests} manifest requests"
    )
    return 0
