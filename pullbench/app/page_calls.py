"""What the tasks that make pages are given: plain classes, so that Prefect neither walks nor serializes them. Free of Prefect."""

from pathlib import Path
from typing import Protocol

from pullbench.report.compare.runs import RunsCompared
from pullbench.report.render.render import render_comparison, render_run_report, render_trend
from pullbench.report.site.build import Site, build_site
from pullbench.store.dataset import ResultStore


class PageCall(Protocol):
    """Whatever makes one page and tells where it is; as text it says what is made."""

    def run(self) -> Path: ...


class ReportCall:
    """The HTML report of a stored run."""

    def __init__(self, results: str, run_id: str, reports: Path) -> None:
        self._results = results
        self._run_id = run_id
        self._reports = reports

    def run(self) -> Path:
        return render_run_report(self._results, self._run_id, self._reports)

    def __str__(self) -> str:
        return f"report of {self._run_id}"


class ComparisonReportCall:
    """The HTML report of two stored runs beside each other."""

    def __init__(self, results: str, found: RunsCompared, reports: Path) -> None:
        self._results = results
        self._found = found
        self._baseline, self._candidate = found.baseline.run.run_id, found.candidate.run.run_id
        self._reports = reports

    def run(self) -> Path:
        return render_comparison(self._results, self._baseline, self._candidate, self._reports, found=self._found)

    def __str__(self) -> str:
        return f"report of {self._candidate} against {self._baseline}"


class TrendReportCall:
    """The HTML report of a benchmark over its runs."""

    def __init__(self, results: str, name: str, reports: Path) -> None:
        self._results = results
        self._name = name
        self._reports = reports

    def run(self) -> Path:
        return render_trend(self._results, self._name, None, self._reports)

    def __str__(self) -> str:
        return f"trend of {self._name}"


class SiteCall:
    """The page that lists every stored run, with its feed; `url` is where it will be served."""

    def __init__(self, results: str, reports: Path, url: str | None) -> None:
        self._results = results
        self._reports = reports
        self._url = url

    def run(self) -> Site:
        return build_site(ResultStore(self._results), self._reports, url=self._url)
