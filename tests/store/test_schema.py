"""The columns are the records' fields, and a version is refused by name."""

import dataclasses
import io
import types
import typing

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pullbench.errors import ErrorCode, UsageError
from pullbench.model.finding import Finding, Status
from pullbench.model.plan import FACTORS, Cell
from pullbench.model.record import Pull, RunRecord, Transfer, TrialRecord
from pullbench.store import schema
from pullbench.store.dataset import ResultStore
from pullbench.store.schema import TableName
from tests.store import sample

PLACE = [
    "run_id",
    "trial",
    "block",
    "warmup",
    "vantage",
    "engine",
    "engine_kind",
    "registry",
    "region",
    "proxy",
    "platform",
    "concurrency",
    "cache",
    "proxy_cache",
    "auth",
]
RECORDS: dict[TableName, type] = {"trials": TrialRecord, "pulls": Pull, "transfers": Transfer}


def may_be_none(record: type, field: str) -> bool:
    hint = typing.get_type_hints(record)[field]
    return typing.get_origin(hint) in (types.UnionType, typing.Union) and type(None) in typing.get_args(hint)


def names(table: TableName) -> list[str]:
    return [str(name) for name in schema.SCHEMAS[table].names]


@pytest.mark.parametrize(("table", "record"), RECORDS.items())
def test_a_trials_tables_hold_its_place_and_every_field_of_the_record(table: TableName, record: type) -> None:
    assert names(table) == PLACE + [field.name for field in dataclasses.fields(record)]


def test_the_place_of_a_row_names_every_factor() -> None:
    assert set(PLACE) == {"run_id", "trial", "block", "warmup", "vantage"} | {
        field.name for field in dataclasses.fields(Cell)
    }
    assert set(FACTORS) <= set(PLACE)


def test_runs_and_checks_hold_every_field_of_their_records() -> None:
    assert names("runs") == [field.name for field in dataclasses.fields(RunRecord)]
    assert names("checks") == ["run_id", "vantage", *(f.name for f in dataclasses.fields(Finding)), "checked_at"]


@pytest.mark.parametrize(("table", "record"), [*RECORDS.items(), ("runs", RunRecord)])
def test_a_column_is_nullable_where_its_field_may_be_none(table: TableName, record: type) -> None:
    for field in dataclasses.fields(record):
        assert schema.SCHEMAS[table].field(field.name).nullable == may_be_none(record, field.name), field.name


def test_units_decide_the_types() -> None:
    for table in schema.SCHEMAS.values():
        for field in table:
            if field.name.endswith("_s"):
                assert field.type == pa.float64(), field
            elif field.name.endswith("_at"):
                assert field.type == pa.timestamp("us", tz="UTC"), field
            elif field.name == "bytes":
                assert field.type == pa.int64(), field


def rewritten(store: ResultStore, path: str, change: typing.Callable[[pa.Table], pa.Table]) -> None:
    """Change a stored file as another version of pullbench would have written it."""
    table = change(pq.read_table(io.BytesIO(store.files.read([path])[path])))
    sink = io.BytesIO()
    pq.write_table(table, sink)
    store.files.put(path, sink.getvalue())


RUN_FILE = f"runs/{sample.RUN_ID}/run.parquet"


def with_version(text: str) -> typing.Callable[[pa.Table], pa.Table]:
    return lambda table: table.replace_schema_metadata({"pullbench.schema_version": text})


def test_a_newer_version_is_refused_by_name(store: ResultStore) -> None:
    store.write_run(sample.run())
    rewritten(store, RUN_FILE, with_version("999"))
    with pytest.raises(UsageError, match=rf"{RUN_FILE}: schema version 999, .* up to {schema.SCHEMA_VERSION}: upgrade"):
        store.run(sample.RUN_ID)
    with pytest.raises(UsageError, match="upgrade pullbench"):
        store.runs()


def test_an_older_version_is_read(store: ResultStore) -> None:
    store.write_run(sample.run())
    rewritten(store, RUN_FILE, with_version("0"))
    assert store.run(sample.RUN_ID) == sample.run()


@pytest.mark.parametrize("change", [with_version("soon"), lambda table: table.replace_schema_metadata(None)])
def test_a_file_without_a_version_is_refused(store: ResultStore, change: typing.Callable[[pa.Table], pa.Table]) -> None:
    store.write_run(sample.run())
    rewritten(store, RUN_FILE, change)
    with pytest.raises(UsageError, match="no schema version"):
        store.run(sample.RUN_ID)


def test_what_is_no_parquet_is_refused_by_name(store: ResultStore) -> None:
    store.files.put(RUN_FILE, b"PAR1 but no more")
    with pytest.raises(UsageError, match=rf"{RUN_FILE}: not a readable"):
        store.runs()


def test_a_column_that_an_older_file_lacks_is_null_and_one_it_has_more_is_left_out(store: ResultStore) -> None:
    store.write_trial(sample.RUN_ID, "office", sample.trial(0), sample.result(0))
    part = f"pulls/{sample.RUN_ID}/trial-00000.parquet"
    rewritten(store, part, lambda table: table.drop_columns(["queued_s"]).append_column("old", pa.array(["x", "y"])))
    store.write_trial(sample.RUN_ID, "office", sample.trial(1), sample.result(1))
    for _ in range(2):
        found = store.table("pulls", sample.RUN_ID)
        assert found.column_names == names("pulls")
        assert found.column("queued_s").to_pylist() == [None, None, 0.0, 0.0]
        store.compact(sample.RUN_ID)


def test_findings_from_before_codes_are_read_without_them(store: ResultStore) -> None:
    finding = Finding(
        check="api",
        target="eu",
        status=Status.FAIL,
        observed="[reset] closed",
        remedy="x",
        code=ErrorCode.RESET,
        parameters={"host": "r.example"},
    )
    store.write_checks(sample.RUN_ID, "office", [finding], sample.START)
    file = f"checks/{sample.RUN_ID}/checks.parquet"
    rewritten(store, file, lambda table: table.drop_columns(["code", "parameters"]))
    (row,) = store.table("checks", sample.RUN_ID).to_pylist()
    assert (row["code"], row["parameters"]) == (None, None)
    assert schema.finding_from_row(row) == dataclasses.replace(finding, code=None, parameters={})


def test_a_run_from_before_a_field_takes_its_default(store: ResultStore) -> None:
    store.write_run(sample.run(planned_out="[1]"))
    rewritten(store, RUN_FILE, lambda table: table.drop_columns(["planned_out", "kind"]))
    assert store.run(sample.RUN_ID) == sample.run()


def test_the_version_stands_in_the_files_metadata(store: ResultStore) -> None:
    store.write_run(sample.run())
    content = store.files.read([RUN_FILE])[RUN_FILE]
    metadata = pq.read_metadata(io.BytesIO(content)).metadata
    assert metadata[b"pullbench.schema_version"] == str(schema.SCHEMA_VERSION).encode()
