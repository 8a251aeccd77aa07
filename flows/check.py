"""Preflight of a spec, as the flow and the command line both do it. Free of Prefect."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.logged import open_log, tell_stderr
from pullbench.bench.session import Session
from pullbench.bench.specfile import load_spec
from pullbench.model.finding import Finding, Status, worst
from pullbench.model.plan import group_reasons, plan
from pullbench.model.spec import Overrides
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
    """Run the checks of the ways that a spec's plan takes; nothing is stored. UsageError where no cell is left.

    Where the environment names a file for log lines, each finding is one.
    """
    loaded = load_spec(path, sets=sets, overrides=overrides)
    log = open_log(None, environ, tell_stderr)
    select(CHECKS, only=frozenset(only), skip=frozenset(skip))  # a wrong id is told before anything is contacted
    with Session(loaded, ResultStore("memory://"), vantage="", environ=environ, block=block) as session:
        facts = session.gather()
        made = plan(loaded.spec, facts)
        findings = preflight(
            loaded.spec,
            facts,
            session.keychain,
            only=frozenset(only),
            skip=frozenset(skip),
            plan=made,
        )
    if log is not None:
        log.findings(findings, benchmark=loaded.spec.name)
        log.close()
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
