"""What the Prefect UI shows of runs: artifacts. Registry-sourced text is escaped for Markdown."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect import get_run_logger
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from pullbench.model.finding import Finding, worst_first
from pullbench.model.plan import FACTORS
from pullbench.report.run.markdown import comparison_summary, escape_markdown, run_summary
from pullbench.report.site.build import Site

_MOST_RUNS = 100
_FIGURES = ("baseline_s", "candidate_s", "ratio", "low", "high", "p")


class Artifacts:
    """What the UI shows of one run. A measurement never fails for them: the first that cannot be sent is the last."""

    def __init__(self) -> None:
        self._progress: Any = None
        self._usable = True

    def begin(self, trials: int) -> None:
        """The progress bar."""
        self._progress = self._send(
            create_progress_artifact, progress=0.0, key="trials", description=f"{trials} trials"
        )

    def progress(self, share: float) -> None:
        """`share` from 0 to 1."""
        self._send(update_progress_artifact, artifact_id=self._progress, progress=round(100 * share, 1))

    def findings(self, findings: Sequence[Finding]) -> None:
        """The preflight's findings as a table, what asks for a remedy first."""
        self._send(
            create_table_artifact,
            table=[_finding_row(finding) for finding in worst_first(findings)],
            key="preflight",
            description="What preflight found before any load",
        )

    def cells(self, document: dict[str, Any]) -> None:
        """The cells of a finished run as a table, from the same document as `run --json`."""
        self._send(
            create_table_artifact,
            table=[_cell_row(cell) for cell in document["cells"]],
            key="cells",
            description=f"Run {document['run_id']}: one row a cell; times in seconds, rates in bytes a second",
        )

    def stress(self, document: dict[str, Any]) -> None:
        """The verdict of a stress test and its steps, from the same document as `stress --json`."""
        if document["status"] == "complete":
            self.progress(1.0)  # of the trials that it came to, which may be fewer than it might have
        self._send(create_markdown_artifact, markdown=run_summary(document), key="verdict")
        self._send(
            create_table_artifact,
            table=[_step_row(step) for step in document["stress"]["steps"]],
            key="steps",
            description=f"Run {document['run_id']}: one row a step; times in seconds, rates in pulls a second",
        )

    def calibration(self, document: dict[str, Any]) -> None:
        """What a calibration measured beside what was true, from the document of `calibrate --json`."""
        self._send(create_markdown_artifact, markdown=run_summary(document), key="calibration")

    def vantages(self, document: dict[str, Any]) -> None:
        """The vantages of a regional benchmark and what became of each, from the document of `regional --json`."""
        rows = [
            {
                "vantage": escape_markdown(entry["vantage"]),
                "answer": entry["answer"],
                "run": entry["run_id"] or "",
                "reason": escape_markdown(entry["reason"]),
            }
            for entry in document["vantages"]
        ]
        self._send(create_table_artifact, table=rows, key="vantages", description="What became of each vantage")

    def report(self, report: Path, address: str | None, said: str) -> None:
        """Where the HTML report is: a link where `reports/` is served at an address, else its path; and what it says."""
        said = escape_markdown(said)
        if address is not None:
            link = f"{address.rstrip('/')}/{report.parent.name}/{report.name}"
            self._send(create_link_artifact, link=link, key="report", link_text="HTML report", description=said)
            return
        text = (
            f"The HTML report is at `{report.resolve()}` on the machine that ran this flow.\n\n"
            "Serve that folder and set `PULLBENCH_REPORTS_URL` to get a link here."
        )
        self._send(create_markdown_artifact, markdown=text, key="report", description=said)

    def comparison(self, document: Mapping[str, Any]) -> None:
        """`document` is that of `compare --json`."""
        candidate, baseline = document["candidate"]["run_id"], document["baseline"]["run_id"]
        self._send(
            create_table_artifact,
            table=[_verdict_row(cell) for cell in document["cells"]],
            key="verdicts",
            description=f"{candidate} against {baseline}: one row a setting; times in seconds, ratios of the baseline's time",
        )
        self._send(
            create_markdown_artifact,
            markdown=comparison_summary(document),
            key="comparison",
            description=escape_markdown(document["headline"]["title"]),
        )

    def published(self, site: Site, summary: str) -> None:
        """The newest runs as the site lists them, and in words what was made."""
        self._send(
            create_table_artifact,
            table=[
                {
                    "name": escape_markdown(entry.name),
                    "run": entry.run_id,
                    "started": f"{entry.started_at:%Y-%m-%d %H:%M} UTC",
                    "status": entry.status,
                    "verdict": entry.said.verdict.replace("_", " "),
                    "says": escape_markdown(entry.title),
                    "report": entry.report or "",
                }
                for entry in site.entries[:_MOST_RUNS]
            ],
            key="runs",
            description="The stored runs, the newest first",
        )
        self._send(create_markdown_artifact, markdown=summary, key="site", description="What was published")

    def page(self, page: Path, reports: Path, address: str | None) -> None:
        """Where a page under the reports folder is: a link where the folder is served at an address, else its path."""
        if address is not None:
            link = f"{address.rstrip('/')}/{page.resolve().relative_to(reports.resolve()).as_posix()}"
            self._send(create_link_artifact, link=link, key="report", link_text="HTML report")
            return
        text = (
            f"The page is `{page.resolve()}` on the machine that ran this flow.\n\n"
            "Serve the reports folder and set `PULLBENCH_REPORTS_URL` to get a link here."
        )
        self._send(create_markdown_artifact, markdown=text, key="report")

    def _send(self, create: Callable[..., Any], **what: Any) -> Any:
        if not self._usable:
            return None
        try:
            return create(**what)
        except Exception as error:  # noqa: BLE001  (whatever a server far away may do)
            self._usable = False
            get_run_logger().warning("no artifacts from here on: %s: %s", type(error).__name__, error)
            return None


def _finding_row(finding: Finding) -> dict[str, Any]:
    return {
        "status": finding.status.value,
        "check": finding.check,
        "target": escape_markdown(finding.target),
        "observed": escape_markdown(finding.observed),
        "remedy": escape_markdown(finding.remedy),
    }


def _cell_row(cell: dict[str, Any]) -> dict[str, Any]:
    row = {name: cell[name] for name in FACTORS} | {name: cell[name] for name in ("pulls", "succeeded")}
    times = {name: cell[name] for name in ("median_s", "median_low_s", "median_high_s", "p95_s")}
    rounded = {name: None if value is None else float(f"{value:.4g}") for name, value in times.items()}
    rate = cell["throughput_bytes_per_s"]
    return row | rounded | {"throughput_bytes_per_s": None if rate is None else round(rate)}


def _step_row(step: dict[str, Any]) -> dict[str, Any]:
    row = {name: step[name] for name in ("step", "phase", "load", "pulls", "succeeded")}
    measured = {name: step[name] for name in ("mean_s", "mean_low_s", "mean_high_s", "rate", "rate_low", "rate_high")}
    rounded = {name: None if value is None else float(f"{value:.4g}") for name, value in measured.items()}
    return row | rounded | {"verdict": step["verdict"], "missed": ", ".join(step["missed"])}


def publish_summary(site: Site, made: int, failures: Sequence[str]) -> str:
    """What `publish-reports` did, as Markdown."""
    lines = [f"The site lists {len(site.entries)} runs; {made} reports were made for it."]
    if failures:
        lines += ["", "Not made:", "", *(f"- {escape_markdown(failure)}" for failure in failures)]
    return "\n".join(lines) + "\n"


def _verdict_row(cell: Mapping[str, Any]) -> dict[str, Any]:
    figures = {name: None if cell[name] is None else float(f"{cell[name]:.4g}") for name in _FIGURES}
    return {
        **{name: cell[name] for name in FACTORS},
        **figures,
        "verdict": str(cell["verdict"]).replace("_", " "),
        "failures": cell["success_verdict"].replace("_", " "),
        "succeeded": f"{cell['baseline_succeeded']}/{cell['baseline_pulls']} → "
        f"{cell['candidate_succeeded']}/{cell['candidate_pulls']}",
    }
