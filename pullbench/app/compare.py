"""Compares two stored runs: did it get worse?"""

import re
from dataclasses import dataclass
from pathlib import Path

from pullbench.app.steps import Steps
from pullbench.errors import UsageError
from pullbench.report.compare.runs import RunsCompared, compare_runs
from pullbench.report.compare.verdict import cell_sentence
from pullbench.report.core import numbers
from pullbench.report.core.run_selection import choose_baseline, choose_candidate
from pullbench.report.core.stored import measured, read_run, records
from pullbench.report.render.render import check_out_dir, render_comparison
from pullbench.stats.compare import ComparisonVerdict
from pullbench.stats.summary import MIN_BLOCKS
from pullbench.store.baselines import Baselines
from pullbench.store.dataset import ResultStore

_FAIL_ON = re.compile(r"regression(?::(\d+(?:\.\d+)?)%?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The result, the HTML report where one was made, and what `fail_on` decides."""

    found: RunsCompared
    page: Path | None
    failure: str | None
    """In one line why this fails; None without `fail_on`, or where nothing got worse."""
    undecided: str | None
    """In one line why `fail_on` cannot decide; None without `fail_on`, or where something was compared."""
    note: str | None
    """Why a regression does not fail."""


def compare(
    baseline: str,
    candidate: str,
    *,
    results: str,
    reports: Path,
    fail_on: str | None = None,
    any_machine: bool = False,
    report: bool = True,
    steps: Steps,
) -> Compared:
    """Find the two runs, compare them, and render their report.

    Raises UsageError for wrong arguments, before anything is read, and IncompleteError where the report failed.
    """
    at_least = _at_least(fail_on)
    store = ResultStore(results)
    after = choose_candidate(store, candidate)
    before = choose_baseline(store, baseline, after)
    if report:
        check_out_dir(reports)
    found = compare_runs(read_run(store, before.run_id), read_run(store, after.run_id))
    page = None
    if report:
        page = steps.page(
            f"report of {after.run_id} compared with {before.run_id}",
            lambda: render_comparison(results, before.run_id, after.run_id, reports, found=found),
        )
    failure, note = _judged(found, at_least, any_machine=any_machine)
    undecided = _undecided(found) if at_least is not None and failure is None and note is None else None
    return Compared(found=found, page=page, failure=failure, undecided=undecided, note=note)


def _at_least(fail_on: str | None) -> float | None:
    """The smallest rise of time that counts as a regression, as a share; None where nothing fails."""
    if fail_on is None:
        return None
    given = _FAIL_ON.fullmatch(fail_on)
    if given is None:
        raise UsageError(f"--fail-on: '{fail_on}' is not regression or regression:PERCENT, such as regression:10")
    return float(given[1] or 0) / 100


def _judged(found: RunsCompared, at_least: float | None, *, any_machine: bool) -> tuple[str | None, str | None]:
    if at_least is None:
        return None, None
    worse = found.regressions(at_least)
    if worse.empty:
        return None, None
    if found.other_machine and not any_machine:
        note = "a regression between different machines or vantages is no failure; with --any-machine it is"
        return None, note
    worst = cell_sentence(records(worse.head(1))[0])
    many = f"{len(worse)} of {numbers.count(len(found.cells), 'configuration')} got worse"
    limit = f" (slower by {100 * at_least:g}% or more, or more failures)" if at_least else ""
    runs = f"{found.candidate.run.run_id} compared with {found.baseline.run.run_id}"
    return f"regression: {runs}: {many}{limit}; worst: {worst}", None


def _undecided(found: RunsCompared) -> str | None:
    """Why nothing can be said of a regression: no time of the one run was compared with one of the other."""
    sides = (("baseline", found.baseline), ("candidate", found.candidate))
    empty = [f"the {side} {stored.run.run_id}" for side, stored in sides if measured(stored.trials).empty]
    if empty:
        return f"cannot decide: {' and '.join(empty)} {'has' if len(empty) == 1 else 'have'} no trials"
    if found.same_run:
        return f"cannot decide: baseline and candidate are the same run, {found.candidate.run.run_id}"
    if found.cells.empty:
        return "cannot decide: no configuration is in both runs"
    if (found.cells["verdict"] == ComparisonVerdict.TOO_FEW_SAMPLES).all():
        return f"cannot decide: no configuration has {MIN_BLOCKS} repetitions with successful pulls in both runs"
    return None


def compare_with_baseline(store: ResultStore, run_id: str) -> RunsCompared | None:
    """Compare a run with the baseline of its name; None without one, if the run is it, or if the baseline is of another kind."""
    candidate = read_run(store, run_id)
    baseline = Baselines(store).of(candidate.run.name)
    if baseline is None or baseline.run_id == run_id:
        return None
    before = read_run(store, baseline.run_id)
    return compare_runs(before, candidate) if before.run.kind == candidate.run.kind else None
