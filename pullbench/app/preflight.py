"""Preflight of a spec: its checks, without any load; stores nothing."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pullbench.app.run_log import open_log
from pullbench.bench.specfile import LoadedSpec, load_spec
from pullbench.bench.workbench import Workbench
from pullbench.model.finding import Finding, Status, worst
from pullbench.model.plan import NoCellLeft, Plan, group_reasons
from pullbench.model.spec import Overrides
from pullbench.preflight.checks import CHECKS
from pullbench.preflight.runner import select

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The findings of a spec, and the excluded configurations, by reason."""

    name: str
    findings: list[Finding]
    planned_out: Mapping[str, int]
    nothing_left: NoCellLeft | None = None
    """Why nothing can be measured, where no check says so; to be raised after the findings were shown."""


def check(
    path: Path,
    *,
    sets: Sequence[str] = (),
    overrides: Overrides | None = None,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    environ: Mapping[str, str],
    block: Callable[[str], str] | None = None,
    warn: Callable[[str], None] = _log.warning,
) -> Checked:
    """Run the checks for the routes of a spec file's plan.

    If the environment names a log file, each finding is one line in it; `warn` is called if the log cannot be written.
    """
    loaded = load_spec(path, sets=sets, overrides=overrides)
    log = open_log(None, environ, warn)
    checked = check_spec(loaded, only=only, skip=skip, environ=environ, block=block)
    if log is not None:
        log.findings(checked.findings, benchmark=checked.name)
        log.close()
    return checked


def check_spec(
    loaded: LoadedSpec,
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    environ: Mapping[str, str],
    block: Callable[[str], str] | None = None,
) -> Checked:
    """Run the checks for the routes of the spec's plan; an invalid id is a UsageError before anything is contacted.

    If nothing can be measured, all routes of the matrix are checked, so that a broken client or registry is reported with its
    remedy.
    """
    select(CHECKS, only=frozenset(only), skip=frozenset(skip))
    with Workbench(loaded, environ=environ, block=block) as bench:
        facts = bench.gather()
        made: Plan | NoCellLeft
        try:
            made = bench.plan(facts)
        except NoCellLeft as nothing_left:
            made = nothing_left
        findings = bench.preflight(facts, made if isinstance(made, Plan) else None, only=only, skip=skip)
    return Checked(
        name=loaded.spec.name,
        findings=findings,
        planned_out=group_reasons(made.planned_out),
        nothing_left=made if isinstance(made, NoCellLeft) and worst(findings) is not Status.FAIL else None,
    )


def verdict(findings: Sequence[Finding]) -> tuple[Status, str]:
    """The worst status, and a sentence with counts: `fail: 1 fail, 12 pass, 2 skip`."""
    status = worst(findings)
    counts = Counter(finding.status for finding in findings)
    order = (Status.FAIL, Status.ERROR, Status.WARN, Status.PASS, Status.SKIP)
    parts = [f"{counts[each]} {each.value}" for each in order if counts[each]]
    return status, f"{status.value}: {', '.join(parts)}" if parts else "skip: nothing to check"


def exit_code(status: Status) -> int:
    """1 if a check failed, 3 if one could not run, else 0."""
    return {Status.FAIL: 1, Status.ERROR: 3}.get(status, 0)
