"""Runs checks concurrently where they do not need each other, each with a time limit, and cleans their evidence."""

import dataclasses
import difflib
import json
import platform
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from graphlib import CycleError, TopologicalSorter
from typing import Any, NoReturn

from pullbench.errors import ErrorCode, RegistryError, UsageError
from pullbench.model.facts import Facts
from pullbench.model.finding import TROUBLES, Finding, Status
from pullbench.model.plan import Plan
from pullbench.model.platform import Platform
from pullbench.model.spec import Spec
from pullbench.model.text import clean
from pullbench.preflight.check import (
    BROKEN,
    TOO_SLOW,
    WRONG_SPEC,
    Check,
    Local,
    ObservedFault,
    Room,
    Target,
    always,
    cure_of,
    errored,
    skipped,
)
from pullbench.preflight.checks import CHECKS
from pullbench.preflight.checks.rate_limit import ID as RATE_LIMIT
from pullbench.preflight.context import CheckContext
from pullbench.preflight.parallel import in_parallel, with_timeout
from pullbench.registry.auth import Credentials
from pullbench.registry.keychain import Keychain
from pullbench.registry.redaction import redacted

CONCURRENCY = 8
MOST_CHARACTERS = 20_000
"""Limit for the evidence of one finding."""
_MOST_ITEMS = 200
_BEFORE, _ROUTES, _AFTER = range(3)
_ROOMS_AFTER = frozenset({Room.CONTENT, Room.ROUTE, Room.BUILD})
"""Rooms whose local targets are listed after the routes."""


def preflight(
    spec: Spec,
    facts: Facts | None,
    keychain: Keychain,
    *,
    only: frozenset[str] = frozenset(),
    skip: frozenset[str] = frozenset(),
    pairs: Collection[tuple[str, str]] | None = None,
    plan: Plan | None = None,
    engines: Collection[str] | None = None,
) -> list[Finding]:
    """Run every check for every target of a spec's matrix, in the spec's order.

    `only` and `skip` contain check ids or rooms; an empty `only` means all checks. `pairs` are the (registry, proxy) pairs
    to check; None means the pairs of the plan, or without a plan all valid pairs of the matrix. `engines` are the engines
    whose clients to check; None means all. Facts save requests, and supply the platform if the spec has none. Raises
    UsageError for an unknown check id. Every other failure, of a check or of a registry, is a finding.
    """
    chosen = select(CHECKS, only=only, skip=skip)
    known = facts or Facts(host_platform=str(Platform.of_machine(platform.machine())), offline=True)
    if pairs is None and plan is not None:
        pairs = {(cell.registry, cell.proxy) for cell in plan.cells}
    with CheckContext(spec, known, keychain, pairs=pairs, plan=plan, engines=engines) as context:
        return run_checks(chosen, context)


def select(checks: Sequence[Check[Any, Any]], *, only: frozenset[str], skip: frozenset[str]) -> list[Check[Any, Any]]:
    """The checks selected by id or by room. Raises UsageError, with the valid names, if a name is unknown or none is left."""
    known = [check.id for check in checks]
    rooms = list(dict.fromkeys(check.room.value for check in checks))
    there = f"there are: {', '.join(known)}; or by group: {', '.join(rooms)}"
    for option, names in (("only", only), ("skip", skip)):
        for unknown in sorted(names - {*known, *rooms}):
            close = difflib.get_close_matches(unknown, [*known, *rooms], n=1)
            hint = f"did you mean '{close[0]}'?" if close else ""
            raise UsageError(f"{option}: '{unknown}' is not a check; {hint or there}")
    asked = [check for check in checks if not only or {check.id, check.room.value} & only]
    chosen = [check for check in asked if not {check.id, check.room.value} & skip]
    if not chosen:
        raise UsageError(f"skip: no check is left; {there}")
    return chosen


def not_chosen(checks: Sequence[Check[Any, Any]], *, only: frozenset[str], skip: frozenset[str]) -> list[Finding]:
    """A skipped finding for each check that was not selected, so that a stored run has what nobody looked at."""
    chosen = {check.id for check in select(checks, only=only, skip=skip)}
    by = "--only" if only else "--skip"
    return [
        skipped(check.id, Local(name="this run"), f"left out by {by}") for check in checks if check.id not in chosen
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One check of one target."""

    check: Check[Any, Any]
    target: Target | Local


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    job: _Job
    findings: tuple[Finding, ...]
    broken_by: str | None = None
    """The failure that makes dependent checks useless: of this check, or of one that it needs."""


def run_checks(checks: Sequence[Check[Any, Any]], context: CheckContext) -> list[Finding]:
    """Run each check of a target as soon as the checks that it needs for this target have ended.

    Findings are ordered by target in the spec's order, then by check. This machine's findings come first. Findings of no
    single route, such as an image in all registries or a Dockerfile, come last.
    """
    jobs = [job for check in _in_order(checks) for job in _jobs_of(check, context)]
    waits = [_waits_for(place, jobs) for place in range(len(jobs))]
    done: dict[int, _Done] = {}

    def call(place: int) -> None:
        before = [done[earlier] for earlier in waits[place] if earlier in done]
        done[place] = _run(jobs[place], context, before)

    in_parallel([partial(call, place) for place in range(len(jobs))], limit=CONCURRENCY, name="preflight", after=waits)
    positions = _Positions(checks, jobs, context)
    ended = sorted(done.values(), key=lambda each: positions.of(each.job))
    known = context.keychain.known()
    return [without_secrets(finding, known) for finding in _limits_once(ended)]


def _limits_once(ended: Sequence[_Done]) -> Iterator[Finding]:
    """The findings; of those that a rate limit left unchecked only the first of each route is a warning, the others are skipped."""
    told = set[str]()
    for each in ended:
        target = each.job.target
        for finding in each.findings:
            if not isinstance(target, Target) or not _is_unchecked_by_limit(each.job.check, finding):
                yield finding
            elif target.route.name in told:
                yield skipped(finding.check, target, f"not checked: {target.route.host} limits requests")
            else:
                told.add(target.route.name)
                yield finding


def _is_unchecked_by_limit(check: Check[Any, Any], finding: Finding) -> bool:
    """Whether a limit kept a check of content from its answer. That of the network or a login stops what needs it."""
    is_own = check.room in (Room.NETWORK, Room.ACCESS) or check.id == RATE_LIMIT
    return finding.code is ErrorCode.RATE_LIMITED and finding.status in TROUBLES and not is_own


def _as_unchecked(check: Check[Any, Any], finding: Finding) -> Finding:
    return replace(finding, status=Status.WARN) if _is_unchecked_by_limit(check, finding) else finding


def _in_order(checks: Sequence[Check[Any, Any]]) -> list[Check[Any, Any]]:
    """Sort each check after the checks that it needs; needs that are not selected are ignored."""
    by_id = {check.id: check for check in checks}
    needs = {check.id: sorted(check.needs & by_id.keys(), key=list(by_id).index) for check in checks}
    try:
        return [by_id[name] for name in TopologicalSorter(needs).static_order()]
    except CycleError as error:
        raise ValueError(f"checks need each other in a circle: {', '.join(sorted(set(error.args[1])))}") from error


def _jobs_of(check: Check[Any, Any], context: CheckContext) -> list[_Job]:
    """One job per target; a check that fails to list its targets gives one broken job."""
    try:
        return [_Job(check=check, target=target) for target in check.targets(context)]
    except Exception as error:  # noqa: BLE001  (a broken check must not stop the others)
        broken = replace(check, probe=partial(_raise, error), skips=always)
        return [_Job(check=broken, target=Local(name="this machine"))]


def _raise(error: Exception, _context: CheckContext, _target: Target | Local) -> NoReturn:
    raise error


def _waits_for(place: int, jobs: Sequence[_Job]) -> list[int]:
    """The indexes of the earlier jobs that this job needs."""
    job = jobs[place]
    return [
        earlier
        for earlier, other in enumerate(jobs[:place])
        if other.check.id in job.check.needs and job.target.is_part_of(other.target)
    ]


class _Positions:
    """The position of a job's findings in the output."""

    def __init__(self, checks: Sequence[Check[Any, Any]], jobs: Sequence[_Job], context: CheckContext) -> None:
        self._checks = {check.id: rank for rank, check in enumerate(checks)}
        self._routes = {route.name: rank for rank, route in enumerate(context.routes)}
        self._images = {image: rank for rank, image in enumerate(context.spec.every_image)}
        by_check = sorted(jobs, key=lambda job: self._checks[job.check.id])
        self._seen = {target: rank for rank, target in enumerate(dict.fromkeys(job.target.name for job in by_check))}

    def of(self, job: _Job) -> tuple[int, ...]:
        rank, seen = self._checks[job.check.id], self._seen[job.target.name]
        if isinstance(job.target, Local):
            return (_AFTER if job.check.room in _ROOMS_AFTER else _BEFORE), 0, 0, seen, rank
        route = self._routes.get(job.target.route.name, len(self._routes))
        image = -1 if job.target.image is None else self._images.get(job.target.image, len(self._images))
        return _ROUTES, route, image, rank, seen


def _run(job: _Job, context: CheckContext, before: Sequence[_Done]) -> _Done:
    check, target = job.check, job.target
    for each in before:
        if each.broken_by:
            finding = skipped(check.id, target, f"not run: {each.broken_by}")
            return _Done(job=job, findings=(finding,), broken_by=each.broken_by)
    started = time.monotonic()
    findings = [_as_unchecked(check, finding) for finding in _judged_in_time(check, target, context)]
    took_s = time.monotonic() - started
    failed = any(finding.status is Status.FAIL for finding in findings)
    return _Done(
        job=job,
        findings=tuple(_timed(finding, took_s) for finding in findings),
        broken_by=f"{check.id} failed for {target.name}" if failed else None,
    )


def _timed(finding: Finding, took_s: float) -> Finding:
    """Add the duration, except to a check that did not apply: it looked at nothing."""
    looked = finding.evidence is not None or finding.status is not Status.SKIP
    return replace(finding, duration_s=took_s) if looked else finding


def _judged_in_time(check: Check[Any, Any], target: Target | Local, context: CheckContext) -> list[Finding]:
    """Run the check with its time limit, so that others do not wait for it."""
    try:
        return with_timeout(partial(_judged, check, target, context), check.timeout_s, name=f"check-{check.id}")
    except TimeoutError as error:
        cure = f"repeat it with `--only {check.id}`, or continue without it: `--skip {check.id}`"
        return [errored(check.id, target, str(error), cure, kind=TOO_SLOW)]


def _judged(check: Check[Any, Any], target: Target | Local, context: CheckContext) -> list[Finding]:
    try:
        if (reason_not_to := check.skips(target)) is not None:
            return [skipped(check.id, target, reason_not_to)]
        evidence = check.probe(context, target)
        kept = as_json(evidence)
        return [replace(finding, evidence=kept) for finding in check.judge(evidence, target)]
    except RegistryError as error:
        fault = ObservedFault.of(error)
        return [
            errored(check.id, target, fault, cure_of(fault, target) if isinstance(target, Target) else error.remedy)
        ]
    except UsageError as error:
        return [errored(check.id, target, clean(error), "fix this in the spec", kind=WRONG_SPEC)]
    except Exception as error:  # noqa: BLE001  (a broken check must not stop the others)
        observed = f"the check itself failed: {type(error).__name__}: {clean(error)}"
        return [errored(check.id, target, observed, f"report this bug; continue with `--skip {check.id}`", kind=BROKEN)]


def as_json(evidence: object) -> str:
    """A probe's result as one JSON document. Foreign text in it is cleaned and cut.

    Dataclass fields keep their names. Types that JSON lacks become text. A document longer than MOST_CHARACTERS becomes
    `{"cut": <its beginning>}`.
    """
    text = json.dumps(_plain(evidence), ensure_ascii=False, sort_keys=True)
    if len(text) <= MOST_CHARACTERS:
        return text
    return json.dumps({"cut": text[:MOST_CHARACTERS]}, ensure_ascii=False)


def _plain(value: object) -> Any:
    if isinstance(value, bool | int | float | None):
        return value
    if isinstance(value, str):
        return clean(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {entry.name: _plain(getattr(value, entry.name)) for entry in dataclasses.fields(value) if entry.repr}
    if isinstance(value, Mapping):
        return {clean(str(key)): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        ordered = sorted(value, key=str) if isinstance(value, set | frozenset) else list(value)
        kept = [_plain(entry) for entry in ordered[:_MOST_ITEMS]]
        return kept if len(ordered) <= _MOST_ITEMS else [*kept, f"and {len(ordered) - _MOST_ITEMS} more"]
    if isinstance(value, date):
        return value.isoformat()
    return clean(str(value))


def without_secrets(finding: Finding, known: Collection[Credentials] = ()) -> Finding:
    """The finding with known credentials redacted, and anything that looks like a credential."""
    return dataclasses.replace(
        finding,
        observed=redacted(finding.observed, known),
        expected=redacted(finding.expected, known),
        remedy=redacted(finding.remedy, known),
        evidence=None if finding.evidence is None else redacted(finding.evidence, known),
        parameters={name: redacted(text, known) for name, text in finding.parameters.items()},
    )
