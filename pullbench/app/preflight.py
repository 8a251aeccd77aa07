"""Preflight of a spec: its checks, without any load; nothing is stored."""

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
    """What the checks of a spec found, and the cells that could not be measured anyway, by reason."""

    name: str
    findings: list[Finding]
    planned_out: Mapping[str, int]


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
    """Run the checks of the routes that a spec's plan takes; `check_spec` of a file.

    Where the environment names a file for log lines, each finding is one; `warn` gets a line where the log cannot be written.
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
    """Run the checks of the routes that the spec's plan takes; a wrong ID is a UsageError before anything is contacted.

    Where nothing is left to measure, all routes of the matrix are checked: what is wrong with a client or a registry is then
    reported with its remedy. NoCellLeft is raised only where no check fails.
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
    if isinstance(made, NoCellLeft) and worst(findings) is not Status.FAIL:
        raise made
    return Checked(name=loaded.spec.name, findings=findings, planned_out=group_reasons(made.planned_out))


def verdict(findings: Sequence[Finding]) -> tuple[Status, str]:
    """The worst status, and a sentence that counts: `fail: 1 fail, 12 pass, 2 skip`."""
    status = worst(findings)
    counts = Counter(finding.status for finding in findings)
    order = (Status.FAIL, Status.ERROR, Status.WARN, Status.PASS, Status.SKIP)
    parts = [f"{counts[each]} {each.value}" for each in order if counts[each]]
    return status, f"{status.value}: {', '.join(parts)}" if parts else "skip: nothing to check"


def exit_code(status: Status) -> int:
    """1 where a check failed, 3 where one could not be run, else 0."""
    return {Status.FAIL: 1, Status.ERROR: 3}.get(status, 0)
