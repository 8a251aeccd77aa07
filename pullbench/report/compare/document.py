"""Two runs compared, as one JSON document: what `compare --json` prints."""

from typing import Any

from pullbench.report.compare.comparison import RunsCompared
from pullbench.report.compare.words import headline
from pullbench.report.core.stored import StoredRun, json_records, json_value


def comparison_document(found: RunsCompared, report: str | None = None) -> dict[str, Any]:
    """The document of design's `compare --json`; null for what is not known. `report` is where the HTML is, if any."""
    said = headline(found)
    whole = {
        name: json_value(getattr(found.whole, name)) for name in ("ratio", "low", "high", "p", "blocks", "verdict")
    }
    return {
        "baseline": _run(found.baseline),
        "candidate": _run(found.candidate),
        "report": report,
        "headline": {"status": said.status, "title": said.title, "sentence": said.sentence},
        "other_machine": found.other_machine,
        "differences": [
            {"kind": entry.kind, "what": entry.what, "baseline": entry.baseline, "candidate": entry.candidate}
            for entry in found.differences
        ],
        "whole": whole | {"cells": found.whole_cells},
        "cells": json_records(found.cells),
        "only_in": {side: [dict(cell) for cell in cells] for side, cells in found.only_in.items()},
    }


def _run(stored: StoredRun) -> dict[str, Any]:
    run = stored.run
    return {
        "run_id": run.run_id,
        "name": run.name,
        "labels": dict(run.labels),
        "vantage": run.vantage,
        "started_at": run.started_at.isoformat(),
        "status": run.status,
    }
