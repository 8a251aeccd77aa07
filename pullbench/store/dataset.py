"""The results of runs: one Parquet part per trial and table, compacted after the run.

    TABLE/RUN_ID/trial-00007.parquet    one trial's rows; the part of `trials` is written last and completes the trial
    TABLE/RUN_ID/compacted.parquet      all rows of the trials listed in its metadata
    runs/RUN_ID/run.parquet             the run
    checks/RUN_ID/checks.parquet        the findings of preflight

A reader first lists a directory, then reads `compacted.parquet`, then the listed parts that it does not contain. A part is
removed only after a compacted part with its rows exists. So rows that are missing in the listing are in the compacted part,
which is read later; if a listed part disappears, the reader starts again. Parts of unfinished trials are not read.
"""

import functools
import json
import operator
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pullbench.errors import IncompleteError, UsageError
from pullbench.model.finding import Finding
from pullbench.model.plan import Trial
from pullbench.model.record import RunRecord, TrialResult
from pullbench.model.text import did_you_mean
from pullbench.store import schema
from pullbench.store.files import Files
from pullbench.store.schema import TableName

if TYPE_CHECKING:
    import pandas as pd

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_PART = re.compile(r"trial-(\d{5,})\.parquet")
_COMPACTED = "compacted.parquet"
_TRIAL_TABLES: tuple[TableName, ...] = ("pulls", "transfers", "trials")
"""The tables that `compact` gathers, each separately."""
_SINGLE: dict[TableName, str] = {"runs": "run.parquet", "checks": "checks.parquet"}
_READS = 20
"""The number of attempts of a reader during compactions; one compaction can cause two."""
_MANY_ROWS = 100_000
_FREE_TEXT = frozenset({"error", "note", "proxy_cache_proof"})
"""Texts that rarely repeat: as categories they would take more memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The columns and rows to read of a table of trials; by default everything.

    `where` has the allowed values of a column. With `encoded`, repeated texts are Arrow dictionaries, so that a row takes
    about one byte for each of them instead of the text.
    """

    columns: Sequence[str] | None = None
    where: Mapping[str, Collection[Any]] = field(default_factory=dict)
    encoded: bool = False

    def schema_of(self, name: TableName) -> pa.Schema:
        """The columns to read, including `trial`, because rows are in the order of the trials."""
        fields = schema.RELAXED[name]
        wanted = None if self.columns is None else {"trial", *self.columns}
        return pa.schema([self._read_as(entry) for entry in fields if wanted is None or entry.name in wanted])

    def _read_as(self, entry: pa.Field) -> pa.Field:
        is_encoded = self.encoded and entry.type == pa.string() and entry.name not in _FREE_TEXT
        return entry.with_type(pa.dictionary(pa.int32(), pa.string())) if is_encoded else entry

    def read(self, name: TableName, source: pa.NativeFile, file: pq.ParquetFile) -> pa.Table:
        """The rows and columns of one file, opened from `source`, in the current schema; raises as pyarrow does."""
        about = file.metadata
        target, names = self.schema_of(name), set(about.schema.names)
        there = [entry.name for entry in target if entry.name in names]
        # The reader must know the encoded columns before it opens a file, and rejects missing ones.
        encoded = [entry.name for entry in target if pa.types.is_dictionary(entry.type) and entry.name in there]
        if encoded:
            file = pq.ParquetFile(source, metadata=about, read_dictionary=encoded)
        # Threads cost more than they save for parts of a few kilobytes.
        threads = about.num_rows > _MANY_ROWS
        if not self.where:
            return schema.conformed(target, file.read(columns=there, use_threads=threads))
        if not self.where.keys() <= names:
            return target.empty_table()  # a column that an older file lacks is null, which matches no value
        wanted = list(dict.fromkeys([*there, *self.where]))
        groups = [number for number in range(about.num_row_groups) if self._may_hold(about.row_group(number))]
        batches = file.iter_batches(_MANY_ROWS, row_groups=groups, columns=wanted, use_threads=threads)
        # In pieces: of millions of rows, a handful may remain.
        condition = self._condition(name)
        found = [pa.Table.from_batches([batch]).filter(condition) for batch in batches]
        return schema.conformed(target, pa.concat_tables(found)) if found else target.empty_table()

    def _condition(self, name: TableName) -> pc.Expression:
        each = [
            pc.field(column).isin(pa.array(list(values), schema.RELAXED[name].field(column).type))
            for column, values in self.where.items()
        ]
        return functools.reduce(operator.and_, each)

    def _may_hold(self, group: pq.RowGroupMetaData) -> bool:
        """Whether a row group may contain a wanted row, by its statistics; else it is not read."""
        columns = (group.column(number) for number in range(group.num_columns))
        for column in columns:
            values, known = self.where.get(column.path_in_schema), column.statistics
            if values is None or known is None or not known.has_min_max:
                continue
            if not any(known.min <= value <= known.max for value in values):
                return False
        return True


EVERYTHING = Selection()


def by_trial(table: pa.Table) -> pa.Table:
    """The rows in the order of their trials; the order within a trial stays."""
    trials = table.column("trial")
    if len(trials) < 2 or pc.all(pc.greater_equal(trials[1:], trials[:-1])).as_py():
        return table
    return table.sort_by("trial")


def to_frame(name: TableName, table: pa.Table) -> "pd.DataFrame":
    """A table for pandas.

    Nullable integers and booleans become `Int64` and `boolean`, so that a column's type does not depend on the values; other
    nulls are NaN, NaT or None. Dictionaries become categories in the order of their texts.
    """
    import pandas as pd

    columns = dict(zip(table.column_names, table.columns, strict=True))
    # Each column is released after its conversion, so that a large table is not in memory twice.
    del table
    made = {column: _values(schema.SCHEMAS[name].field(column), columns.pop(column)) for column in list(columns)}
    return pd.DataFrame(made, copy=False)


def _values(entry: pa.Field, column: pa.ChunkedArray) -> Any:
    """A column as an array: a frame of Series would align their indices first."""
    import pandas as pd

    types: dict[pa.DataType, Any] = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    if entry.nullable and (own := types.get(entry.type)) is not None:
        return own.__from_arrow__(column)
    if not pa.types.is_dictionary(column.type):
        return column.to_pandas(integer_object_nulls=True).array
    found = column.unify_dictionaries().to_pandas().array
    # In the order of their texts, so that sorting by categories equals sorting by texts.
    texts = found.categories.tolist()
    return found if texts == sorted(texts) else found.reorder_categories(sorted(texts))


def new_run_id(now: datetime, entropy: bytes) -> str:
    """A name that sorts by time, such as `20261123T161500Z-3fa2`; uses two bytes of `entropy`."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{entropy[:2].hex()}"


def check_run_id(run_id: str) -> str:
    """Return the run_id; raises UsageError if it is not a plain directory name."""
    if not _RUN_ID.fullmatch(run_id):
        raise UsageError(f"'{run_id[:80]}' is not a run_id: letters, digits, - and _, such as 20261123T161500Z-3fa2")
    return run_id


class ResultStore:
    """Runs under a local path or any fsspec URL. Several processes may use one store, each writing its own runs."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.files = Files(url)

    def write_run(self, run: RunRecord) -> None:
        """Store or replace a run's row."""
        self._put("runs", run.run_id, _SINGLE["runs"], schema.run_to_table(run))

    def write_checks(self, run_id: str, vantage: str, findings: Iterable[Finding], checked_at: datetime) -> None:
        """Store or replace the findings of a run's preflight."""
        shared = {"run_id": run_id, "vantage": vantage, "checked_at": checked_at}
        self._put("checks", run_id, _SINGLE["checks"], schema.to_table("checks", findings, shared))

    def write_trial(self, run_id: str, vantage: str, trial: Trial, result: TrialResult) -> None:
        """Store a trial: it counts as finished when this returns, and not before.

        Raises IncompleteError if it cannot be written, or is finished already (another process has the same run).
        """
        part = _part_name(trial.number)
        if trial.number in self.finished_trials(run_id):
            raise IncompleteError(
                f"{self.files.where(f'trials/{run_id}/{part}')}: already exists, so another process runs {run_id}: "
                "wait for that process"
            )
        shared = schema.coordinates(run_id, vantage, trial)
        # `trials` last: its part makes the other two count.
        self._put("pulls", run_id, part, schema.to_table("pulls", result.pulls, shared))
        self._put("transfers", run_id, part, schema.to_table("transfers", result.transfers, shared))
        self._put("trials", run_id, part, schema.to_table("trials", [result.record], shared))

    def finished_trials(self, run_id: str) -> frozenset[int]:
        """The numbers of the completely stored trials."""
        parts = self._part_numbers("trials", run_id)
        path = f"trials/{run_id}/{_COMPACTED}"
        with self.files.opened(path) as source, self._legible(path):
            return parts if source is None else parts.union(_trials_in(self._opened(path, _reader(source))))

    def compact(self, run_id: str) -> None:
        """Gather the finished trials of a finished run into one part per table; may be killed and repeated."""
        for name in _TRIAL_TABLES:
            if parts := self._part_numbers(name, run_id):
                finished = self.finished_trials(run_id)
                self._put(name, run_id, _COMPACTED, self._read(name, run_id, finished, EVERYTHING), finished)
                for number in sorted(parts & finished):
                    self.files.remove(f"{name}/{run_id}/{_part_name(number)}")
            self.files.remove_half_written(f"{name}/{run_id}")

    def runs(self) -> list[RunRecord]:
        """All stored runs, newest first."""
        paths = [f"runs/{run_id}/{_SINGLE['runs']}" for run_id in self.files.names("runs") if _RUN_ID.fullmatch(run_id)]
        found = [self._run_of(path, content) for path, content in self.files.read(paths).items()]
        return sorted(found, key=lambda run: (run.started_at, run.run_id), reverse=True)

    def run(self, run_id: str) -> RunRecord:
        """A stored run; UsageError with the existing ones if it is missing."""
        path = f"runs/{check_run_id(run_id)}/{_SINGLE['runs']}"
        content = self.files.read([path]).get(path)
        if content is None:
            raise UsageError(f"run '{run_id}' is not in {self.files.where()}; {self._what_there_is(run_id)}")
        return self._run_of(path, content)

    def table(self, name: TableName, run_id: str, selection: Selection = EVERYTHING) -> pa.Table:
        """The rows of one run in the current schema, by trial; empty if none are stored."""
        check_run_id(run_id)
        if name in _SINGLE:
            path = f"{name}/{run_id}/{_SINGLE[name]}"
            tables = [self._parse(name, path, content, selection) for path, content in self.files.read([path]).items()]
            return _joined(name, tables, selection)
        return self._read(name, run_id, self.finished_trials(run_id), selection)

    def parquet(self, name: TableName, run_id: str) -> bytes | None:
        """One table of a run as a Parquet file: the compacted part, else its finished trials; None without rows."""
        whole = f"{name}/{check_run_id(run_id)}/{_SINGLE.get(name, _COMPACTED)}"
        if not self._part_numbers(name, run_id):
            return self.files.read([whole]).get(whole)
        table = self.table(name, run_id)
        return _written(schema.stamped(table), "zstd") if len(table) else None

    def frame(
        self,
        name: TableName,
        run_id: str,
        *,
        columns: Sequence[str] | None = None,
        where: Mapping[str, Collection[Any]] | None = None,
        categories: bool = False,
    ) -> "pd.DataFrame":
        """The rows of one run for pandas, with these columns, for rows with a value in `where`.

        Nullable integers and booleans become `Int64` and `boolean`, so that a column's type does not depend on the values; other
        nulls are NaN, NaT or None. With `categories`, repeated texts become categories in the order of their texts: a million rows
        then take a tenth of the memory, and compare and group as fast.
        """
        selection = Selection(columns=columns, where=where or {}, encoded=categories)
        found = to_frame(name, self.table(name, run_id, selection))
        return found if columns is None else found[list(columns)]

    def _put(
        self, name: TableName, run_id: str, file: str, table: pa.Table, trials: Iterable[int] | None = None
    ) -> None:
        # Parts are small and written between trials, so they use the faster codec; compacted ones use the smaller.
        content = _written(schema.stamped(table, trials), "snappy" if trials is None else "zstd")
        self.files.put(f"{name}/{check_run_id(run_id)}/{file}", content)

    def _part_numbers(self, name: TableName, run_id: str) -> frozenset[int]:
        found = map(_PART.fullmatch, self.files.names(f"{name}/{check_run_id(run_id)}"))
        return frozenset(int(match[1]) for match in found if match is not None)

    def _compacted(self, name: TableName, run_id: str, selection: Selection) -> tuple[frozenset[int], list[pa.Table]]:
        """The trials in the compacted part, and its table if there is one."""
        path = f"{name}/{run_id}/{_COMPACTED}"
        with self.files.opened(path) as source, self._legible(path):
            if source is None:
                return frozenset(), []
            reader = _reader(source)
            file = self._opened(path, reader)
            return _trials_in(file), [selection.read(name, reader, file)]

    def _read(self, name: TableName, run_id: str, finished: frozenset[int], selection: Selection) -> pa.Table:
        """The rows of the finished trials, without those that finish meanwhile."""
        for _ in range(_READS):
            parts = self._part_numbers(name, run_id)
            held, tables = self._compacted(name, run_id, selection)
            paths = [f"{name}/{run_id}/{_part_name(number)}" for number in sorted((parts & finished) - held)]
            found = self.files.read(paths)
            if len(found) == len(paths):
                tables += [self._parse(name, path, content, selection) for path, content in found.items()]
                return by_trial(_joined(name, tables, selection))
        raise IncompleteError(f"{self.files.where(f'{name}/{run_id}')}: changed while it was read; try again")

    def _parse(self, name: TableName, path: str, content: bytes, selection: Selection = EVERYTHING) -> pa.Table:
        """The selected part of a file."""
        with self._legible(path):
            reader = _reader(content)
            return selection.read(name, reader, self._opened(path, reader))

    def _opened(self, path: str, reader: pa.NativeFile) -> pq.ParquetFile:
        """An open file with only its metadata read; UsageError if pullbench cannot read this version."""
        file = pq.ParquetFile(reader)
        schema.check_version(file.metadata.metadata, self.files.where(path))
        return file

    @contextmanager
    def _legible(self, path: str) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise UsageError(
                f"{self.files.where(path)}: not a readable Parquet file; move it out of the results directory"
            ) from error

    def _run_of(self, path: str, content: bytes) -> RunRecord:
        run = schema.run_from_row(self._parse("runs", path, content).to_pylist()[0])
        if run.run_id != path.split("/")[1]:  # it also names directories of reports
            raise UsageError(
                f"{self.files.where(path)}: contains run '{run.run_id[:80]}', which is not its directory's; move it away"
            )
        return run

    def _what_there_is(self, run_id: str) -> str:
        names = [run.run_id for run in self.runs()]
        return did_you_mean(run_id, names, most=5) if names else "there are no runs yet"


def _written(table: pa.Table, compression: str) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression=compression)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _reader(source: bytes | BinaryIO) -> pa.NativeFile:
    return pa.BufferReader(source) if isinstance(source, bytes) else pa.PythonFile(source, "r")


def _trials_in(compacted: pq.ParquetFile) -> frozenset[int]:
    return frozenset(json.loads(compacted.metadata.metadata[schema.TRIALS_KEY]))


def _part_name(trial: int) -> str:
    return f"trial-{trial:05d}.parquet"


def _joined(name: TableName, tables: Sequence[pa.Table], selection: Selection) -> pa.Table:
    return pa.concat_tables(tables) if tables else selection.schema_of(name).empty_table()
