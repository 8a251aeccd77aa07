"""Preflight of a spec, as the flow and the command line both do it. Free of Prefect."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pullbench.bench.facts import gather_facts
from pullbench.bench.specfile import load_spec
from pullbench.model.finding import Finding, Status, worst
from pullbench.model.spec import Overrides
from pullbench.preflight.runner import preflight
from pullbench.registry.keychain import Keychain


def check(
    path: Path,
    *,
    sets: Sequence[str] = (),
    overrides: Overrides | None = None,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    environ: Mapping[str, str],
    block: Callable[[str], str] | None = None,
) -> list[Finding]:
    """Run the checks of a spec's targets; nothing is stored."""
    spec = load_spec(path, sets=sets, overrides=overrides).spec
    keychain = Keychain(environ=environ, block=block)
    facts = gather_facts(spec, {}, keychain=keychain, brought=lambda _store: frozenset())
    return preflight(spec, facts, keychain, only=frozenset(only), skip=frozenset(skip))


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
