"""What the Prefect UI shows of runs: artifacts, a benchmark's own keys for each. Foreign text is escaped for Markdown."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect import get_run_logger
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from pullbench.model.finding import Finding, worst_first
from pullbench.model.plan import FACTORS
from pullbench.model.text import count
from pullbench.report.render.picture import Picture, write_picture
from pullbench.report.run.markdown import comparison_summary, escape_markdown, run_summary
from pullbench.report.site.build import Site

REPORTS_URL = "PULLBENCH_REPORTS_URL"
"""Names the address at which the reports directory is served."""
_MOST_RUNS = 100
_LONGEST_KEY = 60
_FIGURES = ("baseline_s", "candidate_s", "ratio", "low", "high", "p")


def artifact_key(name: str, part: str = "") -> str:
    """A key that Prefect takes: lower-case letters, digits and dashes."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_LONGEST_KEY].strip("-") or "benchmark"
    return f"{plain}-{part}" if part else plain


def picture_of(report: Path | None) -> Picture | None:
    """The picture of a report, written beside it; None where there is no report, or no figure in it."""
    try:
        return None if report is None else write_picture(report)
    except OSError as error:
        get_run_logger().warning("The picture of the report could not be written: %s", error)
        return None


class Artifacts:
    """What the UI shows of one run. A measurement never fails for them: after the first that cannot be sent, none is."""

    def __init__(self, reports: Path | None = None, address: str | None = None) -> None:
        self._reports = reports
        self._address = address or os.environ.get(REPORTS_URL)
        self._progress: Any = None
        self._usable = True

    def begin(self, name: str, trials: int) -> None:
        """The progress bar."""
        self._progress = self._send(
            create_progress_artifact,
            progress=0.0,
            key=artifact_key(name, "progress"),
            description=count(trials, "trial"),
        )

    def progress(self, share: float) -> None:
        """`share` from 0 to 1."""
        self._send(update_progress_artifact, artifact_id=self._progress, progress=round(100 * share, 1))

    def findings(self, name: str, findings: Sequence[Finding]) -> None:
        """The preflight's findings as a table, what asks for a remedy first."""
        self._send(
            create_table_artifact,
            table=[_finding_row(finding) for finding in worst_first(findings)],
            key=artifact_key(name, "preflight"),
            description="What preflight found before any load",
        )

    def run(self, document: Mapping[str, Any], report: Path | None, picture: Picture | None) -> None:
        """A finished run: verdict, p50 and p95, configurations, its picture and the link of its report."""
        parts = [run_summary(document), *self._picture(picture), *self._link(report)]
        self._page(document["name"], "", parts, document["headline"]["title"])

    def steps(self, document: Mapping[str, Any]) -> None:
        """The steps of a stress test as a table, from the document of `stress --json`."""
        if document["status"] == "complete":
            self.progress(1.0)  # of the trials that it came to, which may be fewer than it might have
        self._send(
            create_table_artifact,
            table=[_step_row(step) for step in document["stress"]["steps"]],
            key=artifact_key(document["name"], "steps"),
            description=f"Run {document['run_id']}: one row a step. Times in seconds, rates in pulls/s",
        )

    def vantages(self, name: str, document: Mapping[str, Any], report: Path, picture: Picture | None) -> None:
        """A regional benchmark: the result of each vantage, and the link of the report."""
        rows = [
            {
                "vantage": escape_markdown(entry["vantage"]),
                "answer": entry["answer"],
                "run": entry["run_id"] or "",
                "reason": escape_markdown(entry["reason"]),
            }
            for entry in document["vantages"]
        ]
        self._send(
            create_table_artifact,
            table=rows,
            key=artifact_key(name, "vantages"),
            description="The result of each vantage",
        )
        parts = [f"## {escape_markdown(document['message'])}\n", *self._picture(picture), *self._link(report)]
        self._page(name, "regions", parts, document["message"])

    def comparison(self, document: Mapping[str, Any], report: Path | None, picture: Picture | None) -> None:
        """`document` is that of `compare --json`."""
        candidate, baseline = document["candidate"], document["baseline"]["run_id"]
        parts = [comparison_summary(document), *self._picture(picture), *self._link(report)]
        self._page(candidate["name"], "comparison", parts, document["headline"]["title"])
        self._send(
            create_table_artifact,
            table=[_verdict_row(cell) for cell in document["cells"]],
            key=artifact_key(candidate["name"], "verdicts"),
            description=f"{candidate['run_id']} compared with {baseline}: one row a configuration. "
            "Times in seconds, ratios of the baseline's time",
        )

    def published(self, site: Site, summary: str) -> None:
        """The newest runs as the reports page lists them, and what was rendered."""
        self._page("pullbench", "reports", [summary, *self._link(site.page)], "What was published")
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
            key="pullbench-runs",
            description="The stored runs, newest first",
        )

    def _page(self, name: str, part: str, parts: Sequence[str], description: str) -> None:
        self._send(
            create_markdown_artifact,
            markdown="\n".join(parts),
            key=artifact_key(name, part),
            description=escape_markdown(description),
        )

    def _picture(self, picture: Picture | None) -> list[str]:
        """The picture, where the reports are served: a browser shows no file of another machine."""
        if picture is None or self._address is None:
            return []
        return [f"![{escape_markdown(picture.title)}]({self._url(picture.path)})\n"]

    def _link(self, page: Path | None) -> list[str]:
        """Where a report is: a link where the reports are served, else its path."""
        if page is None:
            return []
        if self._address is not None:
            return [f"[Open the HTML report]({self._url(page)}) · [All reports]({self._address.rstrip('/')}/)\n"]
        return [
            f"The HTML report is `{page.resolve()}` on the machine that ran this flow. "
            f"To get a link here, serve the reports directory and set `{REPORTS_URL}`.\n"
        ]

    def _url(self, path: Path) -> str:
        base = (self._address or "").rstrip("/")
        reports = path.parents[1] if self._reports is None else self._reports
        return f"{base}/{path.resolve().relative_to(reports.resolve()).as_posix()}"

    def _send(self, create: Callable[..., Any], **what: Any) -> Any:
        if not self._usable:
            return None
        try:
            return create(**what)
        except Exception as error:  # noqa: BLE001  (whatever a server far away may do)
            self._usable = False
            get_run_logger().warning(
                "An artifact could not be sent (%s: %s). This run sends no more; its results are stored.",
                type(error).__name__,
                error,
            )
            return None


def _finding_row(finding: Finding) -> dict[str, Any]:
    return {
        "status": finding.status.value,
        "check": finding.check,
        "target": escape_markdown(finding.target),
        "observed": escape_markdown(finding.observed),
        "remedy": escape_markdown(finding.remedy),
    }


def _step_row(step: Mapping[str, Any]) -> dict[str, Any]:
    row = {name: step[name] for name in ("step", "phase", "load", "pulls", "succeeded")}
    measured = {name: step[name] for name in ("mean_s", "mean_low_s", "mean_high_s", "rate", "rate_low", "rate_high")}
    rounded = {name: None if value is None else float(f"{value:.4g}") for name, value in measured.items()}
    return row | rounded | {"verdict": step["verdict"], "missed": ", ".join(step["missed"])}


def publish_summary(site: Site, made: int, failures: Sequence[str]) -> str:
    """What `publish-reports` did, as Markdown."""
    lines = [f"The reports page lists {count(len(site.entries), 'run')}. {count(made, 'report')} rendered for it."]
    if failures:
        lines += ["", "Not rendered:", "", *(f"- {escape_markdown(failure)}" for failure in failures)]
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
