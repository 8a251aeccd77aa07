"""One run as it is stored: what every table, figure and verdict of the report is made from."""

import functools
import json
import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from pydantic import ValidationError

from pullbench.model.plan import route_of
from pullbench.model.record import RunRecord
from pullbench.model.route import DIRECT, Route
from pullbench.model.spec import ProxyEntry, RegistryEntry, slo_targets
from pullbench.store.dataset import ResultStore

RESULTS_URL_VARIABLE = "PULLBENCH_RENDERED_RESULTS_URL"
"""What `report.render` hands the whole URL in: a notebook keeps its parameters, and a URL may hold a secret."""


class RunStore(Protocol):
    """What the report needs of a store: `ResultStore` is one."""

    def run(self, run_id: str) -> RunRecord: ...
    def frame(
        self,
        name: Any,
        run_id: str,
        *,
        columns: Sequence[str] | None = None,
        where: Mapping[str, Collection[Any]] | None = None,
        categories: bool = False,
    ) -> pd.DataFrame: ...


class ReadRows(Protocol):
    """Reads of one table of one run the columns named, of the rows that have one of the values in `where`."""

    def __call__(
        self, *, columns: Sequence[str] | None = None, where: Mapping[str, Collection[Any]] | None = None
    ) -> pd.DataFrame: ...


def rows_of(frame: pd.DataFrame) -> ReadRows:
    """The same of a frame that is there."""

    def read(
        *, columns: Sequence[str] | None = None, where: Mapping[str, Collection[Any]] | None = None
    ) -> pd.DataFrame:
        found = frame
        for column, values in (where or {}).items():
            found = found[found[column].isin(list(values))]
        return found if columns is None else found[list(columns)]

    return read


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """The record of a run and its tables, warm-up repetitions included; `spec` is the record's JSON, read.

    Texts of `pulls` and `transfers` that repeat are categories. A pull has several transfers, so these are read when they
    are asked for, and by `read_transfers` no more of them than is asked for.
    """

    run: RunRecord
    spec: Mapping[str, Any]
    trials: pd.DataFrame
    pulls: pd.DataFrame
    checks: pd.DataFrame
    read_transfers: ReadRows

    @property
    def transfers(self) -> pd.DataFrame:
        """Every transfer of the run, read again at each call."""
        return self.read_transfers()

    @property
    def targets(self) -> Mapping[str, float]:
        """The SLOs that the spec sets, by name; none where `slo` is not configured."""
        return slo_targets(self.spec.get("slo"))

    @property
    def planned_out(self) -> list[dict[str, Any]]:
        """The configurations that could not be, each with its reason: `[{"cell": {…}, "reason": …}]`."""
        return list(json.loads(self.run.planned_out))

    def route(self, registry: str, proxy: str) -> Route | None:
        """How the run reached a registry, by its spec; None where the spec does not say."""
        try:
            registries = {each["name"]: each for each in self.spec.get("registries") or []}
            proxies = {each["name"]: each for each in self.spec.get("proxies") or []}
            way = None if proxy == DIRECT else ProxyEntry.model_validate({**proxies[proxy], "cold": None})
            return route_of(RegistryEntry.model_validate(registries[registry]), way)
        except (KeyError, ValidationError):
            return None

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


def read_run(store: RunStore, run_id: str, *, pull_columns: Sequence[str] | None = None) -> StoredRun:
    """Read one run, of its pulls every column or those named; raises UsageError, as the store does, where there is none."""
    run = store.run(run_id)
    return StoredRun(
        run=run,
        spec=json.loads(run.spec or "{}"),
        trials=store.frame("trials", run_id),
        pulls=store.frame("pulls", run_id, columns=pull_columns, categories=True),
        checks=store.frame("checks", run_id),
        read_transfers=functools.partial(store.frame, "transfers", run_id, categories=True),
    )


def without_tables(run: RunRecord) -> StoredRun:
    """A run of which the record alone is looked at."""
    nothing = pd.DataFrame()
    spec = json.loads(run.spec or "{}")
    return StoredRun(run=run, spec=spec, trials=nothing, pulls=nothing, checks=nothing, read_transfers=rows_of(nothing))


def measured(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the repetitions that count: warm-up is stored, and in no statistic."""
    return frame if frame.empty else frame[~frame["warmup"].astype(bool)]


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame's rows as plain mappings: what `to_dict` makes, column by column, which takes a third of its time."""
    names = [str(name) for name in frame.columns]
    columns = [_plain_values(column) for _, column in frame.items()]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _plain_values(column: pd.Series) -> list[Any]:
    """A column's values as Python's own; of whole numbers and truths that may be missing, what is missing is None."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        values = [*column.cat.categories.tolist(), math.nan]  # a code of -1 is the last
        return [values[code] for code in column.cat.codes.tolist()]
    if isinstance(column.dtype, pd.Int64Dtype | pd.BooleanDtype):
        masked: Any = column.array
        return list(masked.to_numpy(dtype=object, na_value=None))
    if column.dtype == object:
        return [value.item() if isinstance(value, np.generic) else value for value in column]
    return list(column.tolist())


def json_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame's rows as JSON values."""
    return [json_row(row) for row in records(frame)]


def json_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """One row as JSON values."""
    return {name: json_value(value) for name, value in row.items()}


def json_value(value: Any) -> Any:
    """A value of a frame as JSON has it."""
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value
