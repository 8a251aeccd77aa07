"""Runs checks: side by side where they do not need each other, each within its time, none in another's way."""

import difflib
import platform
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pullbench.errors import RegistryError, UsageError
from pullbench.model.facts import Facts
from pullbench.model.finding import Finding, Status
from pullbench.model.plan import Plan
from pullbench.model.platform import Platform
from pullbench.model.spec import Spec
from pullbench.preflight.check import Check, Fault, Local, Target
from pullbench.preflight.checks import CHECKS
from pullbench.preflight.evidence import as_json
from pullbench.preflight.remedy import remedy
from pullbench.preflight.together import together
from pullbench.preflight.world import World
from pullbench.registry.faults import clean
from pullbench.registry.keychain import Keychain

AT_ONCE = 8


def preflight(
    spec: Spec,
    facts: Facts | None,
    keychain: Keychain,
    *,
    only: frozenset[str] = frozenset(),
    skip: frozenset[str] = frozenset(),
    ways: Collection[tuple[str, str]] | None = None,
    plan: Plan | None = None,
) -> list[Finding]:
    """Every check of every target of a spec's matrix, in the spec's order; `only` empty means all checks.

    `ways` are the (registry, proxy) pairs to look at; None means those that the plan takes, and without a plan every pair
    of the matrix that leads anywhere. Facts save requests, and tell the platform where the spec names none. Raises UsageError for an id that is no
    check's; whatever a check or a registry does wrong is a finding.
    """
    chosen = select(CHECKS, only=only, skip=skip)
    known = facts or Facts(host_platform=str(Platform.of_machine(platform.machine())), offline=True)
    if ways is None and plan is not None:
        ways = {(cell.registry, cell.proxy) for cell in plan.cells}
    with World(spec, known, keychain, ways=ways, plan=plan) as world:
        return run_checks(chosen, world)


def select(checks: Sequence[Check[Any, Any]], *, only: frozenset[str], skip: frozenset[str]) -> list[Check[Any, Any]]:
    """The checks that are asked for; UsageError, with what there is, for an unknown id or where none is left."""
    known = [check.id for check in checks]
    for option, ids in (("only", only), ("skip", skip)):
        for unknown in sorted(ids - set(known)):
            close = difflib.get_close_matches(unknown, known, n=1)
            hint = f"did you mean '{close[0]}'? " if close else ""
            raise UsageError(f"{option}: '{unknown}' is no check; {hint}there are: {', '.join(known)}")
    chosen = [check for check in checks if (not only or check.id in only) and check.id not in skip]
    if not chosen:
        raise UsageError(f"skip: no check is left; there are: {', '.join(known)}")
    return chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One check of one target; `place` is its target's position among the check's own."""

    check: Check[Any, Any]
    target: Target | Local
    place: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    job: _Job
    findings: tuple[Finding, ...]
    broken_by: str | None = None
    """The failure that leaves those who need this one nothing to learn: its own, or one before it."""


def run_checks(checks: Sequence[Check[Any, Any]], world: World) -> list[Finding]:
    """Run each check once those that it needs are done; findings by target in the spec's order, then by check."""
    done: list[_Done] = []
    for wave in _waves(checks):
        jobs = [
            _Job(check=check, target=target, place=place)
            for check in wave
            for place, target in enumerate(check.targets(world))
        ]
        before = tuple(done)
        done += together([partial(_run, job, world, before) for job in jobs], at_once=AT_ONCE, name="preflight")
    rank = {check.id: position for position, check in enumerate(checks)}
    done.sort(key=lambda each: _position(each.job, world, rank))
    return [finding for each in done for finding in each.findings]


def _waves(checks: Sequence[Check[Any, Any]]) -> Iterator[list[Check[Any, Any]]]:
    """Checks whose needs stand in earlier waves; a need that was not chosen holds nobody up."""
    waiting = list(checks)
    while waiting:
        open_ids = {check.id for check in waiting}
        ready = [check for check in waiting if not check.needs & open_ids]
        if not ready:
            raise ValueError(f"checks need each other in a circle: {', '.join(sorted(open_ids))}")
        yield ready
        waiting = [check for check in waiting if check not in ready]


def _position(job: _Job, world: World, rank: dict[str, int]) -> tuple[int, int, int, int]:
    if isinstance(job.target, Local):
        return -1, -1, rank[job.check.id], job.place
    image = -1 if job.target.image is None else world.spec.images.index(job.target.image)
    return world.routes.index(job.target.route), image, rank[job.check.id], job.place


def _run(job: _Job, world: World, before: Sequence[_Done]) -> _Done:
    check, target = job.check, job.target
    for each in before:
        if each.broken_by and each.job.check.id in check.needs and target.is_part_of(each.job.target):
            skipped = _skipped(check, target, f"not run: {each.broken_by}")
            return _Done(job=job, findings=(skipped,), broken_by=each.broken_by)
    if (reason_not_to := check.skips(target)) is not None:
        return _Done(job=job, findings=(_skipped(check, target, reason_not_to),))
    started = time.monotonic()
    findings = _within(check, target, world)
    took_s = time.monotonic() - started
    failed = any(finding.status is Status.FAIL for finding in findings)
    return _Done(
        job=job,
        findings=tuple(replace(finding, duration_s=took_s) for finding in findings),
        broken_by=f"{check.id} failed for {target.name}" if failed else None,
    )


def _skipped(check: Check[Any, Any], target: Target | Local, reason: str) -> Finding:
    return Finding(check=check.id, target=target.name, status=Status.SKIP, observed=reason)


def _within(check: Check[Any, Any], target: Target | Local, world: World) -> list[Finding]:
    """The check in a thread of its own, left behind where it does not end: a resolver cannot be interrupted."""
    ended: list[list[Finding]] = []
    thread = threading.Thread(
        target=lambda: ended.append(_judged(check, target, world)), name=f"check-{check.id}", daemon=True
    )
    thread.start()
    thread.join(check.timeout_s)
    if ended:
        return ended[0]
    observed = f"did not end within {check.timeout_s:g} s"
    return [
        _could_not_run(
            check, target, observed, f"try again with `--only {check.id}`, or go on with `--skip {check.id}`"
        )
    ]


def _judged(check: Check[Any, Any], target: Target | Local, world: World) -> list[Finding]:
    try:
        evidence = check.probe(world, target)
        kept = as_json(evidence)
        return [replace(finding, evidence=kept) for finding in check.judge(evidence, target)]
    except RegistryError as error:
        cure = remedy(error.code, target.route) if isinstance(target, Target) else error.remedy
        return [_could_not_run(check, target, str(Fault.of(error)), cure)]
    except UsageError as error:
        return [_could_not_run(check, target, clean(error), "mend what the text names in the spec")]
    except Exception as error:  # noqa: BLE001  (a check that breaks may not take the others with it)
        observed = f"the check broke: {type(error).__name__}: {clean(error)}"
        return [_could_not_run(check, target, observed, f"please report it; go on with `--skip {check.id}`")]


def _could_not_run(check: Check[Any, Any], target: Target | Local, observed: str, cure: str) -> Finding:
    return Finding(check=check.id, target=target.name, status=Status.ERROR, observed=observed, remedy=cure)
