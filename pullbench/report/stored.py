"""One run as it is stored: what every table, figure and verdict of the report is made from."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd

from pullbench.model.record import Run
from pullbench.store.dataset import ResultStore

RESULTS_URL_VARIABLE = "PULLBENCH_RENDERED_RESULTS_URL"
"""What `report.render` hands the whole URL in: a notebook keeps its parameters, and a URL may hold a secret."""


class RunStore(Protocol):
    """What the report needs of a store: `ResultStore` is one."""

    def run(self, run_id: str) -> Run: ...
    def frame(self, table: Any, run_id: str) -> pd.DataFrame: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """The record of a run and its tables, warm-up blocks included; `spec` is the record's JSON, read."""

    run: Run
    spec: Mapping[str, Any]
    trials: pd.DataFrame
    pulls: pd.DataFrame
    transfers: pd.DataFrame
    checks: pd.DataFrame

    @property
    def slo(self) -> Mapping[str, float | None]:
        """The targets of the spec, by name."""
        return dict(self.spec.get("slo") or {})

    @property
    def planned_out(self) -> list[dict[str, Any]]:
        """The cells that could not be, each with its reason: `[{"cell": {…}, "reason": …}]`."""
        return list(json.loads(self.run.planned_out))

    @property
    def host_platform(self) -> str:
        """What a daemon on this machine would pull unless told otherwise."""
        return str(json.loads(self.run.facts or "{}").get("host_platform", ""))

    @property
    def environment(self) -> Mapping[str, Any]:
        return dict(json.loads(self.run.environment or "{}"))


def open_results(results_url: str) -> ResultStore:
    """The results that a notebook's parameter names; in a notebook that is being rendered, those of the whole URL."""
    return ResultStore(os.environ.get(RESULTS_URL_VARIABLE, results_url))


def read_run(store: RunStore, run_id: str) -> StoredRun:
    """Read one run; raises UsageError, as the store does, where there is none."""
    frames = {table: store.frame(table, run_id) for table in ("trials", "pulls", "transfers", "checks")}
    return stored_of(store.run(run_id), **frames)


def stored_of(run: Run, **frames: pd.DataFrame) -> StoredRun:
    """A run with some of its tables; those that are not given are empty."""
    given = {table: frames.get(table, pd.DataFrame()) for table in ("trials", "pulls", "transfers", "checks")}
    return StoredRun(run=run, spec=json.loads(run.spec or "{}"), **given)


def measured(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the blocks that count: warm-up is stored, and in no statistic."""
    return frame if frame.empty else frame[~frame["warmup"].astype(bool)]


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame's rows as plain mappings."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
