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

_LARGE_BYTES = 1_000_000
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

    def read(self, name: TableName, file: pq.ParquetFile, content: bytes) -> pa.Table:
        """The rows and columns of one file, opened and as a whole, in the current schema; raises as pyarrow does."""
        target = self.schema_of(name)
        there = [entry.name for entry in target if entry.name in file.schema_arrow.names]
        encoded = [entry.name for entry in target if pa.types.is_dictionary(entry.type) and entry.name in there]
        # Threads cost more than they save on parts of a few kilobytes.
        options = {"columns": there, "use_threads": len(content) > _LARGE_BYTES}
        if not self.where.keys() <= set(file.schema_arrow.names):
            return target.empty_table()  # what an older file lacks is null, and that is none of the values
        if self.where:
            source = pa.BufferReader(content)
            found = pq.read_table(source, filters=self._condition(name), read_dictionary=encoded, **options)
        else:
            # A reader is told before it opens a file which columns stay encoded, and knows none that is not there.
            found = (pq.ParquetFile(pa.BufferReader(content), read_dictionary=encoded) if encoded else file).read(
                **options
            )
        return schema.conformed(target, found)

    def _condition(self, name: TableName) -> pc.Expression:
        """All of `where`: row groups whose statistics exclude it are not read at all."""
        each = [
            pc.field(column).isin(pa.array(list(values), schema.RELAXED[name].field(column).type))
            for column, values in self.where.items()
        ]
        return functools.reduce(operator.and_, each)


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

    own = {entry.name: _dtype(entry) for entry in schema.SCHEMAS[name] if entry.name in table.column_names}
    own = {column: dtype for column, dtype in own.items() if dtype is not None}
    others = [column for column in table.column_names if column not in own]
    found: pd.DataFrame = table.select(others).unify_dictionaries().to_pandas(integer_object_nulls=True)
    made = {column: dtype.__from_arrow__(table.column(column)) for column, dtype in own.items()}
    made |= {column: _in_order(found[column]) for column in others}
    return pd.DataFrame({column: made[column] for column in table.column_names}, copy=False)


def _dtype(entry: pa.Field) -> Any:
    import pandas as pd

    if not entry.nullable:
        return None
    return {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}.get(entry.type)


def _in_order(column: "pd.Series") -> "pd.Series":
    """Categories by their texts, so that whatever sorts by them sorts as by the texts."""
    if str(column.dtype) != "category":
        return column
    return column.cat.reorder_categories(sorted(column.cat.categories))
