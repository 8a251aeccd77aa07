"""The public functions of `import pullbench`; notebooks use only these."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from pullbench.app.preflight import check_spec, verdict
from pullbench.app.progress import Outcome, Progress
from pullbench.app.run import RunRequest, conduct, preparing
from pullbench.app.steps import DirectSteps
from pullbench.bench import specfile
from pullbench.bench.facts import offline_facts
from pullbench.bench.specfile import LoadedSpec, spec_of
from pullbench.bench.workbench import Workbench
from pullbench.errors import UsageError
from pullbench.model.finding import Finding
from pullbench.model.plan import Plan, Trial
from pullbench.model.record import RunRecord, TrialResult
from pullbench.model.spec import Spec
from pullbench.report.calibration.page import CalibrationPage
from pullbench.report.compare.page import ComparisonPage
from pullbench.report.compare.runs import RunsCompared, compare_runs
from pullbench.report.compare.verdict import headline as comparison_headline
from pullbench.report.core.run_selection import choose_baseline, choose_candidate, choose_run
from pullbench.report.core.stored import StoredRun, open_results, read_run
from pullbench.report.core.tables import cells
from pullbench.report.fleet.page import FleetPage
from pullbench.report.regional.page import RegionalPage
from pullbench.report.regional.runs import read_regional
from pullbench.report.render.render import render_comparison, render_run_report, render_trend
from pullbench.report.run.documents import document_of
from pullbench.report.run.page import RunPage
from pullbench.report.run.verdicts import Headline
from pullbench.report.stress.page import StressPage
from pullbench.report.trend.changes import Trend, trend_of
from pullbench.report.trend.changes import headline as trend_headline
from pullbench.report.trend.page import TrendPage
from pullbench.store.dataset import ResultStore

SpecSource = Spec | str | Path | Mapping[str, Any]
"""A spec, the path of a spec file, or a spec as a mapping."""
ReadSecret = Callable[[str], str]
_LOADED: dict[str, LoadedSpec] = {}
"""By a spec's content: its file, and its hash as written, which the command line needs to resume a run."""
_PAGES: Mapping[str, Callable[[StoredRun], Any]] = {
    "stress": StressPage,
    "fleet": FleetPage,
    "calibration": CalibrationPage,
}


def load_spec(source: SpecSource, *, set: Mapping[str, Any] | None = None) -> Spec:  # noqa: A002  (the option's name)
    """Read and validate a spec; contacts nothing.

    `set` changes values by key path, such as `{"matrix.concurrency": [1, 4]}`. Raises UsageError: one line with the key path
    and the accepted values.
    """
    loaded = _loaded(source, set)
    _LOADED[loaded.spec.hash()] = loaded
    return loaded.spec


def preflight(
    spec: SpecSource,
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    read_secret: ReadSecret | None = None,
) -> list[Finding]:
    """Run the checks of a spec, without any load; one finding per check and target.

    `only` and `skip` contain check ids or groups. `read_secret` reads credentials `block:NAME`. Raises UsageError for an
    invalid spec or id, or if no check fails and nothing can be measured.
    """
    checked = check_spec(_loaded(spec), only=only, skip=skip, environ=os.environ, block=read_secret)
    if checked.nothing_left is not None:
        raise checked.nothing_left
    return checked.findings


def plan(spec: SpecSource, *, offline: bool = False, read_secret: ReadSecret | None = None) -> Plan:
    """Plan a run of the spec: its configurations and trials, the excluded ones with reasons, bytes and manifest requests.

    With `offline` nothing is contacted, and sizes are unknown. Raises UsageError if nothing can be measured.
    """
    with Workbench(_loaded(spec), environ=os.environ, block=read_secret) as bench:
        return bench.plan(offline_facts() if offline else bench.gather())


def run(
    spec: SpecSource,
    *,
    results: str | Path = "results",
    vantage: str = "local",
    resume: str | None = None,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    skip_preflight: bool = False,
    on_progress: Callable[[str], None] | None = None,
    read_secret: ReadSecret | None = None,
) -> "Run":
    """Measure a spec, store every pull, and return the stored run. `Run.write_report` renders its report.

    `results` is a directory or an fsspec URL, `vantage` the label of this client's location, `resume` the run_id of an
    incomplete run, or `latest`. `only` and `skip` choose the checks, as in `preflight`. `on_progress` receives lines of text, never during a trial. Raises UsageError for an invalid
    spec, PreflightFailed before any load, IncompleteError if the run is incomplete: its results so far are stored.
    """
    request = RunRequest(
        spec=_loaded(spec),
        vantage=vantage,
        results=str(results),
        resume=resume,
        only=tuple(only),
        skip=tuple(skip),
        skip_preflight=skip_preflight,
        report=False,
    )
    lines = _Lines(on_progress or (lambda _: None))
    with preparing(request, block=read_secret) as prepared:
        outcome = conduct(prepared, DirectSteps(), lines)
    return open_run(outcome.run_id, results=results)


def open_run(run: str = "latest", *, results: str | Path = "results") -> "Run":
    """A stored run: by run_id, `latest`, a label such as `commit=3f4ff3c`, or a name. Raises UsageError if none matches."""
    store = open_results(str(results))
    return Run(store, choose_run(store, run), results=str(results))


def open_runs(
    *, name: str | None = None, labels: Mapping[str, str] | None = None, results: str | Path = "results"
) -> "list[Run]":
    """The stored runs, newest first, with this name and all these labels. Tables are read on demand."""
    store = open_results(str(results))
    return [
        Run(store, record, results=str(results))
        for record in store.runs()
        if name in (None, record.name) and dict(labels or {}).items() <= dict(record.labels).items()
    ]


def compare(
    baseline: "Run | str", candidate: "Run | str" = "latest", *, results: str | Path = "results"
) -> "RunComparison":
    """Compare two stored runs, configuration by configuration: did it get worse?

    Each is a Run or an argument of `open_run`; `baseline` may also be `baseline`, the run of `pullbench baseline set`. Raises
    UsageError if one is not stored.
    """
    store = open_results(str(results))
    after = (
        candidate
        if isinstance(candidate, Run)
        else Run(store, choose_candidate(store, candidate), results=str(results))
    )
    if isinstance(baseline, Run):
        before = baseline
    else:
        before = Run(after._store, choose_baseline(after._store, baseline, after.record), results=after._results)
    return RunComparison(before, after)


def trend(
    name: str, *, last: int | None = None, vantage: str | None = None, results: str | Path = "results"
) -> "BenchmarkTrend":
    """The runs of one benchmark from one vantage, by default that of its newest run: since when is it slower or faster?

    `last` keeps only the newest runs. Raises UsageError if no run has the name.
    """
    store = open_results(str(results))
    found = trend_of(store, name, last=last, vantage=vantage)
    return BenchmarkTrend(found, name=name, last=last, vantage=vantage, results=str(results))


def open_regional(regional_id: str, *, results: str | Path = "results") -> RegionalPage:
    """The page of a regional benchmark: one spec from several vantages. Raises UsageError if it is not stored."""
    return RegionalPage(read_regional(open_results(str(results)), regional_id))


class Run:
    """A stored run and its tables.

    Frames have the columns of docs/results.md: durations `_s` in seconds, sizes `_bytes` or `bytes`, times `_at` in UTC. Warm-up is
    left out, except in `table(..., warmup=True)`.
    """

    def __init__(self, store: ResultStore, record: RunRecord, *, results: str) -> None:
        self.record = record
        self._store = store
        self._results = results

    @property
    def run_id(self) -> str:
        return self.record.run_id

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def status(self) -> str:
        """running, complete, incomplete or failed."""
        return self.record.status

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.record.labels)

    @property
    def environment(self) -> dict[str, Any]:
        """Versions, kernel, CPU, memory and daemons of the measurement."""
        return dict(self._stored.environment)

    @cached_property
    def configurations(self) -> pd.DataFrame:
        """One row per configuration: its factors, pulls, median_s with its interval, percentiles, throughput_bytes_per_s."""
        return cells(self._stored.pulls, self._stored.trials)

    @property
    def pulls(self) -> pd.DataFrame:
        """One row per pull, including failed ones."""
        return self.table("pulls")

    @property
    def trials(self) -> pd.DataFrame:
        """One row per trial."""
        return self.table("trials")

    @property
    def transfers(self) -> pd.DataFrame:
        """One row per HTTP exchange or per layer of a pull, and per attempt; read again at each call."""
        return self.table("transfers")

    @property
    def checks(self) -> pd.DataFrame:
        """One row per preflight finding."""
        return self._stored.checks

    def table(self, name: str, *, warmup: bool = False) -> pd.DataFrame:
        """`pulls`, `trials` or `transfers`, with the warm-up repetitions on request."""
        if name not in ("pulls", "trials", "transfers"):
            raise UsageError(f"there is no table '{name}': use pulls, trials or transfers")
        frame: pd.DataFrame = getattr(self._stored, name)
        return frame if warmup else frame[~frame["warmup"].astype(bool)].reset_index(drop=True)

    @property
    def verdict(self) -> str:
        """The run's verdict, in a few words and a sentence; `document["headline"]` has its parts."""
        headline = self.document["headline"]
        return f"{headline['title']}. {headline['sentence']}"

    @cached_property
    def document(self) -> dict[str, Any]:
        """The document that `pullbench show RUN_ID --json` prints."""
        return document_of(self._stored, None)

    @cached_property
    def page(self) -> Any:
        """The sections of the run's report, for a notebook: RunPage, or StressPage, FleetPage, CalibrationPage by its kind."""
        return _PAGES.get(self.record.kind, RunPage)(self._stored)

    def write_report(self, reports: str | Path = "reports") -> Path:
        """Render the HTML report and return its path. Raises IncompleteError if the notebook failed."""
        return render_run_report(self._results, self.run_id, Path(reports))

    def __repr__(self) -> str:
        return f"Run({self.run_id!r}, name={self.name!r}, status={self.status!r})"

    @cached_property
    def _stored(self) -> StoredRun:
        return read_run(self._store, self.run_id)


class RunComparison:
    """Two runs compared."""

    def __init__(self, baseline: Run, candidate: Run) -> None:
        self.baseline = baseline
        self.candidate = candidate

    @cached_property
    def found(self) -> RunsCompared:
        return compare_runs(self.baseline._stored, self.candidate._stored)

    @property
    def configurations(self) -> pd.DataFrame:
        """One row per configuration of both runs: ratio with its interval, p, verdict."""
        return self.found.cells

    @property
    def differences(self) -> list[Any]:
        """Other differences between the runs: spec, content, machine, vantage."""
        return list(self.found.differences)

    @property
    def verdict(self) -> str:
        """Whether it got worse, in a few words and a sentence."""
        return _sentence(comparison_headline(self.found))

    @cached_property
    def page(self) -> ComparisonPage:
        """The sections of the comparison's report, for a notebook."""
        return ComparisonPage(self.found)

    def write_report(self, reports: str | Path = "reports") -> Path:
        """Render the HTML report and return its path. Raises IncompleteError if the notebook failed."""
        return render_comparison(
            self.candidate._results, self.baseline.run_id, self.candidate.run_id, Path(reports), found=self.found
        )


class BenchmarkTrend:
    """The runs of one benchmark."""

    def __init__(self, found: Trend, *, name: str, last: int | None, vantage: str | None, results: str) -> None:
        self.found = found
        self.name = name
        self._last = last
        self._vantage = vantage
        self._results = results

    @property
    def runs(self) -> pd.DataFrame:
        """One row per run: level_s with its interval, pulls, success rate."""
        return self.found.runs

    @property
    def verdict(self) -> str:
        """Whether the newest level differs, in a few words and a sentence."""
        return _sentence(trend_headline(self.found))

    @cached_property
    def page(self) -> TrendPage:
        """The sections of the trend's report, for a notebook."""
        return TrendPage(self.found)

    def write_report(self, reports: str | Path = "reports") -> Path:
        """Render the HTML report and return its path. Raises IncompleteError if the notebook failed."""
        return render_trend(
            self._results, self.name, self._last, Path(reports), vantage=self._vantage, found=self.found
        )


class _Lines(Progress):
    """Progress as lines of text."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._done = self._total = 0

    def note(self, text: str) -> None:
        self._say(text)

    def planned(self, run: RunRecord, plan: Plan, done: int) -> None:
        self._done, self._total = done, len(plan.trials)
        self._say(f"run {run.run_id}: {self._total - done} of {self._total} trials to measure")

    def checked(self, findings: Sequence[Finding]) -> None:
        self._say(f"preflight: {verdict(findings)[1]}")

    def measured(self, trial: Trial, result: TrialResult, /) -> None:
        self._done += 1
        record = result.record
        self._say(
            f"trial {self._done} of {self._total}: {trial.cell}: {record.succeeded} of {record.pulls} pulls succeeded"
        )

    def concluded(self, outcome: Outcome, /) -> None:
        self._say(f"run {outcome.run_id}: {outcome.message}")


def _loaded(source: SpecSource, changes: Mapping[str, Any] | None = None) -> LoadedSpec:
    if isinstance(source, Spec) and not changes and (known := _LOADED.get(source.hash())) is not None:
        return known
    if isinstance(source, str | Path):
        return specfile.load_spec(Path(source), values=changes)
    return spec_of(source, values=changes)


def _sentence(headline: Headline) -> str:
    return f"{headline.title}. {headline.sentence}"
