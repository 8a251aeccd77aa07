"""What the Prefect UI shows of a run: artifacts. Registry-sourced text is escaped for Markdown."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from pullbench.model.finding import Finding

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+!|~-])")


def escape_markdown(text: str) -> str:
    """Text that stays text in a Markdown artifact: no markup, no control characters, at most 500 characters."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return _MARKDOWN.sub(r"\\\1", printable[:500])


class ProgressArtifact:
    """The run's progress bar in the UI."""

    def __init__(self, key: str, description: str) -> None:
        self._id = create_progress_artifact(progress=0.0, key=key, description=description)

    def update(self, share: float) -> None:
        """`share` from 0 to 1."""
        update_progress_artifact(artifact_id=self._id, progress=round(100 * share, 1))  # type: ignore[arg-type]


def publish_findings(findings: Sequence[Finding]) -> None:
    """The preflight's findings as a table artifact."""
    rows = [
        {
            "status": finding.status.value,
            "check": finding.check,
            "target": escape_markdown(finding.target),
            "observed": escape_markdown(finding.observed),
            "remedy": escape_markdown(finding.remedy),
        }
        for finding in findings
    ]
    create_table_artifact(table=rows, key="preflight", description="What preflight found before any load")


def publish_cells(document: dict[str, Any]) -> None:
    """The cells of a finished run as a table artifact, from the same document as `run --json`."""
    create_table_artifact(
        table=[
            {key: value for key, value in cell.items() if not isinstance(value, list | dict)}
            for cell in document["cells"]
        ],
        key="cells",
        description=escape_markdown(f"Run {document['run_id']}: one row a cell; times in seconds"),
    )


def publish_report(report: Path, address: str | None) -> None:
    """Where the HTML report is: a link where `reports/` is served at an address, else its path."""
    if address is not None:
        create_link_artifact(
            link=f"{address.rstrip('/')}/{report.parent.name}/{report.name}", key="report", link_text="HTML report"
        )
    else:
        create_markdown_artifact(
            markdown=f"The HTML report is at `{report.resolve()}` on the machine that ran this flow.\n\n"
            "Serve that folder and set `PULLBENCH_REPORTS_URL` to get a link here.",
            key="report",
        )
