"""Preflight of a spec, as the flow and the command line both do it. Free of Prefect."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pullbench.app.run_log import open_log
from pullbench.bench.session import Session
from pullbench.bench.specfile import load_spec
from pullbench.cli.terminal.safe_text import print_notice as say
from pullbench.model.facts import Facts
from pullbench.model.finding import Finding, Status, worst
from pullbench.model.plan import NoCellLeft, Plan, group_reasons, plan
from pullbench.model.spec import Overrides, Spec
from pullbench.preflight.checks import CHECKS
from pullbench.preflight.runner import preflight, select
from pullbench.store.dataset import ResultStore


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
) -> Checked:
    """Run the checks of the ways that a spec's plan takes; nothing is stored.

    Where no cell is left to measure, all ways of the matrix are checked: what is wrong with a client or a registry is then
    told with its remedy. NoCellLeft is raised only where no check fails.

    Where the environment names a file for log lines, each finding is one.
    """
    loaded = load_spec(path, sets=sets, overrides=overrides)
    log = open_log(None, environ, say)
    select(CHECKS, only=frozenset(only), skip=frozenset(skip))  # a wrong id is told before anything is contacted
    with Session(loaded, ResultStore("memory://"), vantage="", environ=environ, block=block) as session:
        facts = session.gather()
        made = _planned(loaded.spec, facts)
        findings = preflight(
            loaded.spec,
            facts,
            session.keychain,
            only=frozenset(only),
            skip=frozenset(skip),
            plan=made if isinstance(made, Plan) else None,
        )
    if log is not None:
        log.findings(findings, benchmark=loaded.spec.name)
        log.close()
    if isinstance(made, NoCellLeft) and worst(findings) is not Status.FAIL:
        raise made
    return Checked(name=loaded.spec.name, findings=findings, planned_out=group_reasons(made.planned_out))


def _planned(spec: Spec, facts: Facts) -> Plan | NoCellLeft:
    try:
        return plan(spec, facts)
    except NoCellLeft as nothing_left:
        return nothing_left


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
