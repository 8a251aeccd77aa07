"""The results of runs: one Parquet part a trial and table, compacted when a run is over.

    TABLE/RUN_ID/trial-00007.parquet    one trial's rows; that of `trials` is written last and makes the trial finished
    TABLE/RUN_ID/compacted.parquet      all rows of the trials that its metadata lists
    runs/RUN_ID/run.parquet             the run
    checks/RUN_ID/checks.parquet        what preflight found

A reader lists a folder first, then reads `compacted.parquet`, then those listed parts that it does not hold. A part is
only removed once a compacted part with its rows is there, so whatever is gone from the listing is in what is read after
it; and what vanishes after the listing shows as a missing file, upon which the reader starts again. A part whose trial
never finished is not read.
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
"""What `compact` gathers, each table for itself."""
_SINGLE: dict[TableName, str] = {"runs": "run.parquet", "checks": "checks.parquet"}
_READS = 20
"""How often a reader that a compaction overtakes starts again; one compaction can do so twice."""
_MANY_ROWS = 100_000
_FREE_TEXT = frozenset({"error", "note", "proxy_cache_proof"})
"""Texts that hardly repeat: as categories they would take more, not less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What is read of a table of trials; everything where nothing is said.

    `where` names the values of a column that a row must have one of. With `encoded`, texts that repeat are Arrow
    dictionaries, so that a million rows take a byte or so each and not the text.
    """

    columns: Sequence[str] | None = None
    where: Mapping[str, Collection[Any]] = field(default_factory=dict)
    encoded: bool = False

    def schema_of(self, name: TableName) -> pa.Schema:
        """The columns that are read, `trial` among them, for rows are in the order of the trials."""
        fields = schema.RELAXED[name]
        wanted = None if self.columns is None else {"trial", *self.columns}
        return pa.schema([self._read_as(entry) for entry in fields if wanted is None or entry.name in wanted])

    def _read_as(self, entry: pa.Field) -> pa.Field:
        is_encoded = self.encoded and entry.type == pa.string() and entry.name not in _FREE_TEXT
        return entry.with_type(pa.dictionary(pa.int32(), pa.string())) if is_encoded else entry

    def read(self, name: TableName, source: pa.NativeFile, file: pq.ParquetFile) -> pa.Table:
        """The rows and columns of one file, which was opened from `source`, in the current schema; raises as pyarrow does."""
        about = file.metadata
        target, names = self.schema_of(name), set(about.schema.names)
        there = [entry.name for entry in target if entry.name in names]
        # A reader is told before it opens a file which columns stay encoded, and knows none that is not there.
        encoded = [entry.name for entry in target if pa.types.is_dictionary(entry.type) and entry.name in there]
        if encoded:
            file = pq.ParquetFile(source, metadata=about, read_dictionary=encoded)
        # Threads cost more than they save on parts of a few kilobytes.
        threads = about.num_rows > _MANY_ROWS
        if not self.where:
            return schema.conformed(target, file.read(columns=there, use_threads=threads))
        if not self.where.keys() <= names:
            return target.empty_table()  # what an older file lacks is null, and that is none of the values
        wanted = list(dict.fromkeys([*there, *self.where]))
        groups = [number for number in range(about.num_row_groups) if self._may_hold(about.row_group(number))]
        batches = file.iter_batches(_MANY_ROWS, row_groups=groups, columns=wanted, use_threads=threads)
        # A piece at a time: what is left of millions of rows may be a handful.
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
        """Whether the statistics of a row group leave room for a row that is wanted; else it is not read at all."""
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
    """The rows in the order of their trials, within a trial as they are."""
    trials = table.column("trial")
    if len(trials) < 2 or pc.all(pc.greater_equal(trials[1:], trials[:-1])).as_py():
        return table
    return table.sort_by("trial")


def to_frame(name: TableName, table: pa.Table) -> "pd.DataFrame":
    """A table for pandas.

    Integers and booleans that may be null come as `Int64` and `boolean`, so that a column's type does not depend on what
    was measured; other nulls are NaN, NaT or None. Dictionaries are categories in the order of their texts.
    """
    import pandas as pd

    columns = dict(zip(table.column_names, table.columns, strict=True))
    # Each column is let go when it is made into pandas' own, so that a large table is not there twice.
    del table
    made = {column: _values(schema.SCHEMAS[name].field(column), columns.pop(column)) for column in list(columns)}
    return pd.DataFrame(made, copy=False)


def _values(entry: pa.Field, column: pa.ChunkedArray) -> Any:
    """A column as an array: a frame of Series would bring each of their indices in line first."""
    import pandas as pd

    types: dict[pa.DataType, Any] = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    if entry.nullable and (own := types.get(entry.type)) is not None:
        return own.__from_arrow__(column)
    if not pa.types.is_dictionary(column.type):
        return column.to_pandas(integer_object_nulls=True).array
    found = column.unify_dictionaries().to_pandas().array
    # By their texts, so that whatever sorts by categories sorts as by the texts.
    texts = found.categories.tolist()
    return found if texts == sorted(texts) else found.reorder_categories(sorted(texts))


def new_run_id(now: datetime, entropy: bytes) -> str:
    """A name that sorts by time, such as `20261123T161500Z-3fa2`; two bytes of `entropy` are used."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{entropy[:2].hex()}"


def check_run_id(run_id: str) -> str:
    """The run_id itself; raises UsageError for what could not be a folder's plain name."""
    if not _RUN_ID.fullmatch(run_id):
        raise UsageError(f"'{run_id[:80]}' is not a run_id: letters, digits, - and _, such as 20261123T161500Z-3fa2")
    return run_id


class ResultStore:
    """Runs under a local path or any fsspec URL. Several processes may use one at once, each writing runs of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.files = Files(url)

    def write_run(self, run: RunRecord) -> None:
        """Store or replace a run's row."""
        self._put("runs", run.run_id, _SINGLE["runs"], schema.run_to_table(run))

    def write_checks(self, run_id: str, vantage: str, findings: Iterable[Finding], checked_at: datetime) -> None:
        """Store or replace what preflight found before a run."""
        shared = {"run_id": run_id, "vantage": vantage, "checked_at": checked_at}
        self._put("checks", run_id, _SINGLE["checks"], schema.to_table("checks", findings, shared))

    def write_trial(self, run_id: str, vantage: str, trial: Trial, result: TrialResult) -> None:
        """Store a trial: it counts as finished once this returns, and not at all before.

        Raises IncompleteError where it cannot be written, or is finished already (another process runs the same run).
        """
        part = _part_name(trial.number)
        if trial.number in self.finished_trials(run_id):
            raise IncompleteError(
                f"{self.files.where(f'trials/{run_id}/{part}')}: already there, so another process runs {run_id}: "
                "let that one end"
            )
        shared = schema.coordinates(run_id, vantage, trial)
        # `trials` last: its part is what makes the other two count.
        self._put("pulls", run_id, part, schema.to_table("pulls", result.pulls, shared))
        self._put("transfers", run_id, part, schema.to_table("transfers", result.transfers, shared))
        self._put("trials", run_id, part, schema.to_table("trials", [result.record], shared))

    def finished_trials(self, run_id: str) -> frozenset[int]:
        """Numbers of the trials that are stored whole."""
        parts = self._part_numbers("trials", run_id)
        path = f"trials/{run_id}/{_COMPACTED}"
        with self.files.opened(path) as source, self._legible(path):
            return parts if source is None else parts.union(_trials_in(self._opened(path, _reader(source))))

    def compact(self, run_id: str) -> None:
        """Gather the finished trials of a run that is over into one part a table; it may be killed and called again."""
        for name in _TRIAL_TABLES:
            if parts := self._part_numbers(name, run_id):
                finished = self.finished_trials(run_id)
                self._put(name, run_id, _COMPACTED, self._read(name, run_id, finished, EVERYTHING), finished)
                for number in sorted(parts & finished):
                    self.files.remove(f"{name}/{run_id}/{_part_name(number)}")
            self.files.remove_half_written(f"{name}/{run_id}")

    def runs(self) -> list[RunRecord]:
        """Every run that is stored, newest first."""
        paths = [f"runs/{run_id}/{_SINGLE['runs']}" for run_id in self.files.names("runs") if _RUN_ID.fullmatch(run_id)]
        found = [self._run_of(path, content) for path, content in self.files.read(paths).items()]
        return sorted(found, key=lambda run: (run.started_at, run.run_id), reverse=True)

    def run(self, run_id: str) -> RunRecord:
        """A stored run; raises UsageError that names what there is where this one is not."""
        path = f"runs/{check_run_id(run_id)}/{_SINGLE['runs']}"
        content = self.files.read([path]).get(path)
        if content is None:
            raise UsageError(f"run '{run_id}' is not in {self.files.where()}; {self._what_there_is(run_id)}")
        return self._run_of(path, content)

    def table(self, name: TableName, run_id: str, selection: Selection = EVERYTHING) -> pa.Table:
        """The rows of one run in the current schema, by trial; no rows where none are stored."""
        check_run_id(run_id)
        if name in _SINGLE:
            path = f"{name}/{run_id}/{_SINGLE[name]}"
            tables = [self._parse(name, path, content, selection) for path, content in self.files.read([path]).items()]
            return _joined(name, tables, selection)
        return self._read(name, run_id, self.finished_trials(run_id), selection)

    def parquet(self, name: TableName, run_id: str) -> bytes | None:
        """One table of a run as a Parquet file: the compacted part as it is, else its finished trials; None without rows."""
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
        """The rows of one run for pandas, with the columns named, of the rows that have one of the values in `where`.

        Integers and booleans that may be null come as `Int64` and `boolean`, so that a column's type does not depend
        on what was measured; other nulls are NaN, NaT or None. With `categories`, texts that repeat come as categories
        in the order of their texts: a million rows then take a tenth of the memory, and compare and group as fast.
        """
        selection = Selection(columns=columns, where=where or {}, encoded=categories)
        found = to_frame(name, self.table(name, run_id, selection))
        return found if columns is None else found[list(columns)]

    def _put(
        self, name: TableName, run_id: str, file: str, table: pa.Table, trials: Iterable[int] | None = None
    ) -> None:
        # A part is small and written between trials: the faster codec; what is gathered is kept: the smaller.
        content = _written(schema.stamped(table, trials), "snappy" if trials is None else "zstd")
        self.files.put(f"{name}/{check_run_id(run_id)}/{file}", content)

    def _part_numbers(self, name: TableName, run_id: str) -> frozenset[int]:
        found = map(_PART.fullmatch, self.files.names(f"{name}/{check_run_id(run_id)}"))
        return frozenset(int(match[1]) for match in found if match is not None)

    def _compacted(self, name: TableName, run_id: str, selection: Selection) -> tuple[frozenset[int], list[pa.Table]]:
        """The trials that the compacted part holds, and its table where there is one."""
        path = f"{name}/{run_id}/{_COMPACTED}"
        with self.files.opened(path) as source, self._legible(path):
            if source is None:
                return frozenset(), []
            reader = _reader(source)
            file = self._opened(path, reader)
            return _trials_in(file), [selection.read(name, reader, file)]

    def _read(self, name: TableName, run_id: str, finished: frozenset[int], selection: Selection) -> pa.Table:
        """The rows of the finished trials, those that end meanwhile left out."""
        for _ in range(_READS):
            parts = self._part_numbers(name, run_id)
            held, tables = self._compacted(name, run_id, selection)
            paths = [f"{name}/{run_id}/{_part_name(number)}" for number in sorted((parts & finished) - held)]
            found = self.files.read(paths)
            if len(found) == len(paths):
                tables += [self._parse(name, path, content, selection) for path, content in found.items()]
                return by_trial(_joined(name, tables, selection))
        raise IncompleteError(f"{self.files.where(f'{name}/{run_id}')}: changes faster than it can be read; try again")

    def _parse(self, name: TableName, path: str, content: bytes, selection: Selection = EVERYTHING) -> pa.Table:
        """What is selected of a file."""
        with self._legible(path):
            reader = _reader(content)
            return selection.read(name, reader, self._opened(path, reader))

    def _opened(self, path: str, reader: pa.NativeFile) -> pq.ParquetFile:
        """A file of which no more than its metadata is read yet; raises UsageError for one that pullbench cannot know."""
        file = pq.ParquetFile(reader)
        schema.check_version(file.metadata.metadata, self.files.where(path))
        return file

    @contextmanager
    def _legible(self, path: str) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise UsageError(
                f"{self.files.where(path)}: no Parquet file that can be read; move it out of the results folder"
            ) from error

    def _run_of(self, path: str, content: bytes) -> RunRecord:
        run = schema.run_from_row(self._parse("runs", path, content).to_pylist()[0])
        if run.run_id != path.split("/")[1]:  # it names folders, of reports too
            raise UsageError(
                f"{self.files.where(path)}: is the row of run '{run.run_id[:80]}', which is not its folder; move it away"
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
