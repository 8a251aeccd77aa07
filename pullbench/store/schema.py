"""The five Parquet tables: their columns, their version, and the conversion of records to rows and back.

Columns have the field names of `model/record.py` and `model/finding.py`. Strings are plain: Parquet encodes repeated ones
as a dictionary on disk anyway, and plain columns are VARCHAR in DuckDB and `str` in pandas, where categories would not
compare or concatenate across runs. Mappings (labels, parameters) are JSON strings, because DuckDB and pandas read a Parquet
map as a list of pairs. A column is nullable if its field may be None.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from datetime import UTC
from typing import Any, Literal

import pyarrow as pa

from pullbench.errors import ErrorCode, UsageError
from pullbench.model.finding import Finding, Status
from pullbench.model.plan import Trial
from pullbench.model.record import RunRecord

SCHEMA_VERSION = 1
"""Increased when a column changes its meaning or type; a new nullable column does not need it."""
VERSION_KEY = b"pullbench.schema_version"
TRIALS_KEY = b"pullbench.trials"
"""In a compacted part: the JSON list of its trials."""

TableName = Literal["runs", "checks", "trials", "pulls", "transfers"]

_INSTANT = pa.timestamp("us", tz="UTC")


def _fields(kind: pa.DataType, names: str, *, nullable: bool = False) -> list[pa.Field]:
    return [pa.field(name, kind, nullable=nullable) for name in names.split()]


def _text(names: str) -> list[pa.Field]:
    return _fields(pa.string(), names)


def _seconds(names: str) -> list[pa.Field]:
    return _fields(pa.float64(), names)


def _count(names: str) -> list[pa.Field]:
    return _fields(pa.int64(), names)


def _flag(names: str) -> list[pa.Field]:
    return _fields(pa.bool_(), names)


def _instant(names: str) -> list[pa.Field]:
    return _fields(_INSTANT, names)


def _maybe(fields: list[pa.Field]) -> list[pa.Field]:
    return [field.with_nullable(True) for field in fields]


_COORDINATES = [
    *_text("run_id"),
    *_count("trial block"),
    *_flag("warmup"),
    *_text("vantage engine engine_kind registry region proxy platform"),
    *_count("concurrency"),
    *_text("cache proxy_cache auth"),
]

SCHEMAS: dict[TableName, pa.Schema] = {
    "runs": pa.schema(
        [
            *_text("run_id vantage name kind labels"),
            *_instant("started_at"),
            *_maybe(_instant("finished_at")),
            *_text("status"),
            *_count("seed"),
            *_text("spec spec_hash facts environment"),
            *_count("trials_planned"),
            *_text("planned_out"),
            *_maybe(_text("stopped")),
        ]
    ),
    "checks": pa.schema(
        [
            *_text("run_id vantage check target status observed expected remedy"),
            *_seconds("duration_s"),
            *_maybe(_text("evidence code")),
            *_text("parameters"),
            *_maybe(_text("kind")),
            *_instant("checked_at"),
        ]
    ),
    "trials": pa.schema(
        [
            *_COORDINATES,
            *_instant("started_at"),
            *_seconds("wall_s setup_s"),
            *_count("pulls succeeded"),
            *_maybe(_count("bytes")),
            *_maybe(_seconds("throughput_bytes_per_s")),
            *_seconds("cpu_s"),
            *_maybe(_seconds("client_busy")),
            *_text("load_mode"),
            *_maybe(_seconds("offered_rate")),
            *_maybe(_text("proxy_cache_found proxy_cache_proof")),
            *_maybe(_count("step")),
            *_maybe(_text("phase")),
            *_maybe(_count("nodes origin_bytes")),
            *_maybe(_text("client_limit")),
            *_maybe(_seconds("run_delay_share sched_lag_s")),
        ]
    ),
    "pulls": pa.schema(
        [
            *_COORDINATES,
            *_count("pull"),
            *_text("image digest"),
            *_instant("intended_at started_at"),
            *_seconds("queued_s duration_s"),
            *_flag("ok"),
            *_maybe(_text("error_code error")),
            *_count("attempts"),
            *_maybe(_count("bytes layers layers_cached layers_shared")),
            *_maybe(_seconds("auth_s resolve_s download_s extract_s")),
            *_maybe(_text("served_by node")),
        ]
    ),
    "transfers": pa.schema(
        [
            *_COORDINATES,
            *_count("pull attempt"),
            *_text("kind"),
            *_maybe(_text("digest")),
            *_maybe(_count("bytes status")),
            *_instant("started_at"),
            *_maybe(_seconds("dns_s connect_s tls_s wait_s transfer_s total_s extract_s")),
            *_maybe(_flag("reused")),
            *_maybe(_text("http_version remote_ip served_by error_code note")),
        ]
    ),
}

_MAPPINGS = ("labels", "parameters")
_OF_FINDING = ("evidence", "code", "parameters", "kind")
"""Columns of `checks` that may be null or missing in older files."""


def coordinates(run_id: str, vantage: str, trial: Trial) -> dict[str, Any]:
    """The columns that identify a row of trials, pulls and transfers."""
    place = {"run_id": run_id, "vantage": vantage, "trial": trial.number, "block": trial.block, "warmup": trial.warmup}
    return place | trial.cell.as_dict()


def to_table(name: TableName, records: Iterable[Any], shared: Mapping[str, Any]) -> pa.Table:
    """Records (dataclasses) as a table; `shared` has the columns that are equal in all rows."""
    schema, rows = SCHEMAS[name], list(records)
    columns = [_array(_values(field.name, rows, shared), field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _values(column: str, rows: list[Any], shared: Mapping[str, Any]) -> list[Any]:
    if column in shared:
        return [shared[column]] * len(rows)
    values = [getattr(row, column) for row in rows]
    return (
        [json.dumps(dict(each), sort_keys=True, ensure_ascii=False) for each in values]
        if column in _MAPPINGS
        else values
    )


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, type=kind)
    except UnicodeEncodeError:
        # Text from a registry's JSON may contain half a surrogate pair, which UTF-8 cannot encode; keep the trial anyway.
        return pa.array([value and str(value).encode("utf-8", "replace").decode() for value in values], type=kind)


def run_to_table(run: RunRecord) -> pa.Table:
    """One run as its row."""
    return to_table("runs", [run], {})


def run_from_row(row: Mapping[str, Any]) -> RunRecord:
    """The inverse of `run_to_table`; a column that an older file lacks gets the record's default."""
    given = {key: value for key, value in row.items() if value is not None}
    given["labels"] = json.loads(given.get("labels", "{}"))
    for name in ("started_at", "finished_at"):
        if name in given:
            given[name] = given[name].astimezone(UTC)
    known = {field.name for field in dataclasses.fields(RunRecord)}
    return RunRecord(**{key: value for key, value in given.items() if key in known})


def finding_from_row(row: Mapping[str, Any]) -> Finding:
    """A finding from its row of `checks`, also one read by pandas; rows of older files have no code and no kind."""
    evidence, code, parameters, kind = (
        text if isinstance(text := row.get(name), str) else None for name in _OF_FINDING
    )
    return Finding(
        **{
            field.name: row[field.name]
            for field in dataclasses.fields(Finding)
            if field.name not in (*_OF_FINDING, "status")
        },
        status=Status(row["status"]),
        evidence=evidence,
        code=None if code is None else ErrorCode(code),
        parameters=json.loads(parameters or "{}"),
        kind=kind,
    )


def stamped(table: pa.Table, trials: Iterable[int] | None = None) -> pa.Table:
    """The table with the schema version in its metadata, and with the trials of a compacted part."""
    metadata = {VERSION_KEY: str(SCHEMA_VERSION).encode()}
    if trials is not None:
        metadata[TRIALS_KEY] = json.dumps(sorted(trials)).encode()
    return table.replace_schema_metadata(metadata)


def check_version(metadata: Mapping[bytes, bytes] | None, where: str) -> None:
    """Raise UsageError with the file's name if a newer pullbench wrote it, or none."""
    text = (metadata or {}).get(VERSION_KEY, b"").decode(errors="replace")
    if not text.isdecimal():
        raise UsageError(f"{where}: not written by pullbench (no schema version); move it out of the results directory")
    if int(text) > SCHEMA_VERSION:
        raise UsageError(
            f"{where}: schema version {text}, but this pullbench reads up to {SCHEMA_VERSION}: upgrade pullbench"
        )


def conformed(schema: pa.Schema, table: pa.Table) -> pa.Table:
    """The table with the columns of a schema: missing columns are null, additional ones are dropped."""
    there = dict(zip(table.column_names, table.columns, strict=True))
    columns = [_column(there.get(field.name), field.type, table.num_rows) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _column(column: pa.ChunkedArray | None, wanted: pa.DataType, rows: int) -> pa.ChunkedArray | pa.Array:
    if column is None:
        return pa.nulls(rows, wanted)
    return column if column.type == wanted else column.cast(wanted)


RELAXED = {name: pa.schema(_maybe(list(schema))) for name, schema in SCHEMAS.items()}
"""The columns for reading: older files may lack columns that records now always have."""
