"""Which rows and columns of a table are read, and how they come to pandas: a run may have a million pulls."""

import functools
import operator
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pullbench.store import schema
from pullbench.store.schema import TableName

if TYPE_CHECKING:
    import pandas as pd

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
