"""What a run has to say to whoever is not looking: Prefect events, which automations wait for.

    pullbench.slo.missed                  at a run's end
    pullbench.pull.consecutive-failures   while it goes on
    pullbench.regression                  where a run is proven worse than its baseline

Each concerns the benchmark (`pullbench.benchmark.NAME`); the run and the vantage stand beside it as related, with the flow
run, deployment and tags that Prefect adds. Every payload has `run_id`, `benchmark`, `vantage`, `cells` and `message`, a
sentence for people.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from prefect import get_run_logger
from prefect.events import emit_event

from pullbench.model.plan import FACTORS
from pullbench.model.record import RunRecord
from pullbench.report.compare.runs import RunsCompared
from pullbench.report.compare.verdict import headline
from pullbench.report.core.slo_words import measured_text, slo_place, slo_title, target_text
from pullbench.report.core.stored import json_records

SLO_MISSED = "pullbench.slo.missed"
CONSECUTIVE_FAILURES = "pullbench.pull.consecutive-failures"
REGRESSION = "pullbench.regression"
_CELLS_AT_MOST = 50
"""A server refuses an event that is too large."""


class Notices:
    """Emits a run's events. A measurement never fails for them."""

    def slo_missed(self, document: Mapping[str, Any]) -> None:
        """Where the document of a finished run (`run --json`) has a missed SLO."""
        missed = [row for row in document["slo"] if row["verdict"] == "missed"]
        if not missed:
            return
        message = "; ".join(_missed_sentence(row) for row in missed)
        cells = dict.fromkeys(cell for row in missed for cell in (*row["missed_by"], row["configuration"]) if cell)
        about = _about(document["run_id"], document["name"], document["vantage"], list(cells), f"{message}.")
        self._emit(SLO_MISSED, about, {"objectives": missed, "report": document["report"] or ""})

    def consecutive_failures(
        self, run: RunRecord, failures: int, cells: Sequence[str], error_codes: Sequence[str]
    ) -> None:
        """So many pulls of a run failed one after the other, in these cells, for these reasons."""
        message = f"{failures} pulls in a row failed ({', '.join(error_codes)}): {'; '.join(cells)}."
        about = _about(run.run_id, run.name, run.vantage, cells, message)
        self._emit(CONSECUTIVE_FAILURES, about, {"failures": failures, "error_codes": list(error_codes)})

    def regression(self, found: RunsCompared) -> None:
        """Where a comparison has a regression between runs of one machine; others may differ by the machine alone."""
        worse = found.regressions()
        if worse.empty or found.other_machine:
            return
        said, run = headline(found), found.candidate.run
        columns = [*FACTORS, "ratio", "low", "high", "verdict", "success_verdict"]
        cells = json_records(worse[columns].head(_CELLS_AT_MOST))
        about = _about(run.run_id, run.name, run.vantage, cells, f"{said.title}. {said.sentence}")
        self._emit(REGRESSION, about, {"baseline": found.baseline.run.run_id})

    def _emit(self, event: str, about: Mapping[str, Any], more: Mapping[str, Any]) -> None:
        related = [
            {"prefect.resource.id": f"pullbench.{role}.{about[key]}", "prefect.resource.role": role}
            for role, key in (("run", "run_id"), ("vantage", "vantage"))
        ]
        name = about["benchmark"]
        resource = {"prefect.resource.id": f"pullbench.benchmark.{name}", "prefect.resource.name": name}
        try:
            emit_event(event, resource=resource, related=related, payload={**about, **more})
        except Exception as error:  # noqa: BLE001  (whatever a server far away may do)
            get_run_logger().warning("%s was not told: %s: %s", event, type(error).__name__, error)
        else:
            get_run_logger().warning("%s: %s", event, about["message"])


def _about(run_id: str, benchmark: str, vantage: str, cells: Sequence[Any], message: str) -> dict[str, Any]:
    """What every payload has."""
    about = {"run_id": run_id, "benchmark": benchmark, "vantage": vantage}
    return {**about, "cells": list(cells)[:_CELLS_AT_MOST], "message": message}


def _missed_sentence(row: Mapping[str, Any]) -> str:
    """`Mean pull time of docker 4.10 s, target at most 3.00 s`."""
    what = " of ".join(filter(None, [slo_title(row["name"]), slo_place(row)]))
    return f"{what} {measured_text(row)}, target {target_text(row['name'], row['target'])}"
