"""Which stored run is meant: by run_id, by a word, by a label or by a name.

    20261123T161500Z-3fa2   that run
    latest                  the newest
    baseline                the one that `pullbench baseline set` named (for a comparison's baseline only)
    commit=3f4ff3c          the newest complete one with that label
    concurrency-sweep       the newest complete one of that name

As a comparison's baseline, a word, label or name means a run of the candidate's name and kind from before the candidate:
nobody compares a run with itself, with one of another benchmark, or with a stress test, unless he names it by its run_id.
"""

from collections.abc import Callable, Sequence

from pullbench.errors import UsageError
from pullbench.model.record import RunRecord
from pullbench.model.text import did_you_mean
from pullbench.report.core.stored import measured, read_run
from pullbench.store.baselines import Baselines
from pullbench.store.dataset import ResultStore

LATEST = "latest"
BASELINE = "baseline"
_COMPLETE = "complete"


def choose_run(store: ResultStore, text: str) -> RunRecord:
    """The run that a person means; UsageError that says what there is where none fits."""
    return _chosen(store, text, store.runs())


def choose_candidate(store: ResultStore, text: str) -> RunRecord:
    """The same of a run that is to be compared, or others with it: never a calibration, which has its own truth beside it."""
    return _chosen(store, text, _comparable(store, text))


def choose_new_baseline(store: ResultStore, text: str) -> RunRecord:
    """The same of a run that later runs are to be compared with; UsageError where it measured nothing."""
    run = choose_candidate(store, text)
    if measured(read_run(store, run.run_id).trials).empty:
        raise UsageError(
            f"{run.run_id} is {run.status} and has no trials: no run can be compared with it; choose another: pullbench runs"
        )
    return run


def _comparable(store: ResultStore, text: str) -> list[RunRecord]:
    """All runs but calibrations; UsageError where one of these is named."""
    found = [run for run in store.runs() if run.run_id == text and run.kind == "calibration"]
    if found:
        raise UsageError(
            f"'{text}': a calibration is compared with the truth of its own lab, and not with a run; "
            "`pullbench show` shows its errors"
        )
    return [run for run in store.runs() if run.kind != "calibration"]


def _chosen(store: ResultStore, text: str, runs: Sequence[RunRecord]) -> RunRecord:
    by_id = next((run for run in runs if run.run_id == text), None)
    if by_id is not None:
        return by_id
    if text == BASELINE:
        raise UsageError("baseline: give the run_id of a baseline; `pullbench baseline list` shows them")
    if text == LATEST:
        return _first(runs, f"'{LATEST}': no run is stored in {store.files.where()}; `pullbench demo` makes one")
    fits = _fitting(text)
    return _first([run for run in runs if fits(run)], _nothing(store, text, runs))


def choose_baseline(store: ResultStore, text: str, candidate: RunRecord) -> RunRecord:
    """The run that a candidate is to be compared with; UsageError where none fits."""
    runs = _comparable(store, text)
    by_id = next((run for run in runs if run.run_id == text), None)
    if by_id is not None:
        return by_id
    if text == BASELINE:
        found = Baselines(store).of(candidate.name)
        if found is None:
            raise UsageError(
                f"baseline: none is set for '{candidate.name}'; set one with `pullbench baseline set RUN_ID`"
            )
        run = store.run(found.run_id)
        if run.kind != candidate.kind:
            raise UsageError(
                f"baseline: that of '{run.name}', {run.run_id}, is a run of kind {run.kind}, and {candidate.run_id} is of kind "
                f"{candidate.kind}; name a run by its run_id, or set another: pullbench baseline set RUN_ID"
            )
        return run
    is_name = _is_name(text, runs)
    runs = [run for run in runs if run.kind == candidate.kind]
    if text == LATEST or is_name:
        name = candidate.name if text == LATEST else text
        before = [run for run in runs if run.started_at < candidate.started_at and run.status == _COMPLETE]
        return _first(
            [run for run in before if run.name == name],
            f"'{text}': no complete run of '{name}' is older than {candidate.run_id} and of its kind ({candidate.kind})",
        )
    fits = _fitting(text)
    fitting = [run for run in runs if fits(run) and run.run_id != candidate.run_id]
    same_name = [run for run in fitting if run.name == candidate.name]
    return _first(same_name or fitting, _nothing(store, text, runs))


def _fitting(text: str) -> Callable[[RunRecord], bool]:
    key, equals, value = text.partition("=")
    if equals:
        return lambda run: run.labels.get(key) == value and run.status == _COMPLETE
    return lambda run: run.name == text and run.status == _COMPLETE


def _is_name(text: str, runs: Sequence[RunRecord]) -> bool:
    return "=" not in text and any(run.name == text for run in runs)


def _first(runs: Sequence[RunRecord], otherwise: str) -> RunRecord:
    if not runs:
        raise UsageError(otherwise)
    return runs[0]


def _nothing(store: ResultStore, text: str, runs: Sequence[RunRecord]) -> str:
    if "=" in text:
        complete = [run for run in runs if run.status == _COMPLETE]
        labels = sorted({f"{key}={value}" for run in complete for key, value in run.labels.items()})
        there = f"there are: {', '.join(labels[:8])}" if labels else "no run has a label"
        return f"'{text}': no complete run in {store.files.where()} has this label; {there}"
    if named := [run for run in runs if run.name == text]:
        newest = f"{named[0].run_id} is {named[0].status}"
        return (
            f"'{text}': no complete run in {store.files.where()} has this name; the newest, {newest}: give its run_id"
        )
    known = [*dict.fromkeys(run.name for run in runs if run.status == _COMPLETE), *(run.run_id for run in runs)]
    return f"'{text}' is not a run_id, label or name of a complete run in {store.files.where()}; {did_you_mean(text, known)}"
