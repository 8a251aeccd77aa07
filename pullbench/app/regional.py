"""The order and policy of a regional benchmark: start every vantage, wait with a limit, collect what they stored.

A vantage that does not answer is named; the results of the others are kept.
"""

import dataclasses
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from pullbench.app.run import judgement, refuse_secrets
from pullbench.bench.specfile import load_spec
from pullbench.engines.base import Clock
from pullbench.errors import IncompleteError
from pullbench.model.spec import Overrides
from pullbench.report.regional.runs import read_regional, regional_document
from pullbench.report.render.render import check_out_dir, render_regional
from pullbench.report.run.documents import run_document
from pullbench.store.dataset import ResultStore, new_run_id
from pullbench.store.regional import Regional, RegionalRecords, VantageResult

_LOOK_EVERY_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionalRequest:
    """What a person requests. `vantages` empty: every vantage."""

    spec: Path
    vantages: tuple[str, ...] = ()
    overrides: Overrides = field(default_factory=Overrides)
    sets: tuple[str, ...] = ()
    in_turn: bool = False
    start_within_minutes: float = 10.0
    finish_within_minutes: float = 240.0
    results: str = "results"
    reports: Path = Path("reports")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vantage:
    """A vantage: the deployment of that name, and the work pool of its worker."""

    vantage: str
    work_pool: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRunState:
    """The state of a vantage's flow run, with the state's message."""

    started: bool
    ended: bool
    state: str
    message: str = ""


class Vantages(Protocol):
    """Starts runs elsewhere: Prefect, or a test's script."""

    def places(self, names: Sequence[str]) -> list[Vantage]:
        """The vantages of these names, or all; UsageError for an unknown name, and where there are none."""
        ...

    def start(self, place: Vantage, regional_id: str, parameters: Mapping[str, Any]) -> str:
        """Start a benchmark there, once however often this is called; the id to follow it by."""
        ...

    def look(self, flow_run: str) -> FlowRunState | None:
        """The state; None where the server does not answer now."""
        ...

    def cancel(self, flow_run: str) -> None: ...
    def idle(self, place: Vantage) -> str:
        """Why no worker may have started a run there, in a few words."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionalOutcome:
    """The end of a regional benchmark; `document` is what `regional --json` prints."""

    document: dict[str, Any]
    report: Path
    exit_code: int
    message: str


@dataclass(slots=True, kw_only=True)
class _Watch:
    """One vantage during the wait."""

    place: Vantage
    flow_run: str = ""
    since_s: float = 0.0
    began: bool = False
    reason: str = ""
    over: bool = False


def conduct_regional(
    request: RegionalRequest, vantages: Vantages, *, clock: Clock, note: Callable[[str], None]
) -> RegionalOutcome:
    """Run a spec at every vantage, up to the report.

    Raises UsageError before anything is started, and IncompleteError if no vantage measured anything.
    """
    refuse_secrets(request.sets)
    spec = load_spec(request.spec, sets=request.sets, overrides=request.overrides).spec
    store = ResultStore(request.results)
    check_out_dir(request.reports)
    places = vantages.places(request.vantages)
    started_at = datetime.now(UTC)
    regional_id = new_run_id(started_at, secrets.token_bytes(2))
    note(f"regional benchmark {regional_id}: {', '.join(place.vantage for place in places)}")
    watched = ask_everywhere(request, places, vantages, regional_id, clock=clock, note=note)
    asked = tuple(_gathered(store, regional_id, watched))
    RegionalRecords(store).write(
        Regional(
            regional_id=regional_id,
            name=spec.name,
            started_at=started_at,
            finished_at=datetime.now(UTC),
            in_turn=request.in_turn,
            asked=asked,
        )
    )
    if all(entry.run_id is None for entry in asked):
        raise IncompleteError(f"no vantage measured anything: {_lacking(asked)}")
    note("rendering the report")
    report = render_regional(request.results, regional_id, request.reports)
    return _conclude(store, regional_id, asked, report)


def ask_everywhere(
    request: RegionalRequest,
    places: Sequence[Vantage],
    vantages: Vantages,
    regional_id: str,
    *,
    clock: Clock,
    note: Callable[[str], None],
) -> list[_Watch]:
    """Start the benchmark at every vantage and wait for each within the limits; all at the same time, or in turn.

    A run that has not started by then is cancelled, so that it sends no load hours later. A run that has started goes on.
    An interruption cancels all.
    """
    watched = [_Watch(place=place) for place in places]
    try:
        for group in [[one] for one in watched] if request.in_turn else [watched]:
            for one in group:
                _start(one, request, vantages, regional_id, clock)
            while waiting := [one for one in group if not one.over]:
                for one in waiting:
                    _look(one, request, vantages, clock, note)
                if any(not one.over for one in waiting):
                    clock.sleep(_LOOK_EVERY_S)
    except BaseException:
        for one in watched:
            if one.flow_run and not one.over:
                vantages.cancel(one.flow_run)
        raise
    return watched


def _start(one: _Watch, request: RegionalRequest, vantages: Vantages, regional_id: str, clock: Clock) -> None:
    parameters: dict[str, Any] = {
        "spec": str(request.spec),
        "vantage": one.place.vantage,
        "results": request.results,
        "report": False,
        "regional": regional_id,
    }
    # Missing parameters keep the deployment's values: parameters are merged by top-level key only.
    if request.overrides != Overrides():
        parameters["overrides"] = request.overrides.model_dump(mode="json")
    if request.sets:
        parameters["settings"] = list(request.sets)
    one.since_s = clock.monotonic()
    try:
        one.flow_run = vantages.start(one.place, regional_id, parameters)
    except IncompleteError as error:
        one.over, one.reason = True, str(error)


def _look(one: _Watch, request: RegionalRequest, vantages: Vantages, clock: Clock, note: Callable[[str], None]) -> None:
    seen = vantages.look(one.flow_run)
    waited_minutes = (clock.monotonic() - one.since_s) / 60
    if seen is not None and seen.started and not one.began:
        one.began = True
        note(f"{one.place.vantage}: started")
    if seen is not None and seen.ended:
        one.over = True
        one.reason = "" if seen.state == "COMPLETED" else seen.message or seen.state.lower()
        note(f"{one.place.vantage}: {seen.message or seen.state.lower()}")
    elif not one.began and waited_minutes > request.start_within_minutes:
        one.over = True
        one.reason = (
            f"no worker started the run within {request.start_within_minutes:g} minutes: {vantages.idle(one.place)}; "
            f"start a worker there: `prefect worker start --pool {one.place.work_pool}`"
        )
        vantages.cancel(one.flow_run)
        note(f"{one.place.vantage}: {one.reason}")
    elif waited_minutes > request.finish_within_minutes:
        one.over = True
        one.reason = f"not finished within {request.finish_within_minutes:g} minutes; its worker goes on"
        note(f"{one.place.vantage}: {one.reason}")


def _gathered(store: ResultStore, regional_id: str, watched: Sequence[_Watch]) -> list[VantageResult]:
    """What each vantage stored, and what is missing."""
    runs = RegionalRecords(store).run_ids(regional_id)
    asked = []
    for one in watched:
        run_id = runs.get(one.place.vantage)
        run = None if run_id is None else store.run(run_id)
        measured = run_id is not None and bool(store.finished_trials(run_id))
        entry = VantageResult(vantage=one.place.vantage, answer="complete", run_id=run_id)
        if run is None:
            elsewhere = f"its run ended but is not in {store.files.where()}; give `results` as one URL for all vantages"
            entry = dataclasses.replace(entry, answer="missing", reason=one.reason or elsewhere)
        elif not measured:
            entry = dataclasses.replace(entry, answer="missing", run_id=None, reason=one.reason or run.status)
        elif run.status != "complete":
            entry = dataclasses.replace(entry, answer="incomplete", reason=one.reason or run.status)
        asked.append(entry)
    return asked


def _lacking(asked: Sequence[VantageResult]) -> str:
    return "; ".join(
        f"vantage '{entry.vantage}' is {entry.answer}: {entry.reason}" for entry in asked if entry.answer != "complete"
    )


def _conclude(store: ResultStore, regional_id: str, asked: Sequence[VantageResult], report: Path) -> RegionalOutcome:
    document = regional_document(read_regional(store, regional_id), str(report))
    lacking = _lacking(asked)
    verdicts = {
        entry.vantage: judgement(run_document(store, entry.run_id)) for entry in asked if entry.run_id is not None
    }
    said = "; ".join(f"{vantage}: {words}" for vantage, (_, words) in verdicts.items())
    code = 3 if lacking else max((code for code, _ in verdicts.values()), default=0)
    message = f"{lacking}; the other results are kept: {said}" if lacking else said
    return RegionalOutcome(document=document | {"message": message}, report=report, exit_code=code, message=message)
