"""What the Prefect UI shows of stored runs compared or published: artifacts. Foreign text is escaped for Markdown."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from pullbench.model.plan import FACTORS
from pullbench.report.run.markdown import comparison_summary, escape_markdown
from pullbench.report.site.build import Site
from tasks.artifacts import Artifacts

_MOST_RUNS = 100
_FIGURES = ("baseline_s", "candidate_s", "ratio", "low", "high", "p")


class StoredArtifacts(Artifacts):
    """Of a comparison a table of verdicts, a summary and the report; of the site its runs, a summary and the page."""

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
