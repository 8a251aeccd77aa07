"""What is written is read again, by run and by trial."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta, timezone

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from pullbench.errors import ErrorCode, IncompleteError, UsageError
from pullbench.model.finding import Finding, Status
from pullbench.store import schema
from pullbench.store.dataset import ResultStore, _written, new_run_id
from tests.store import sample
from tests.store.sample import RUN_ID


def write(store: ResultStore, *trials: int, run_id: str = RUN_ID) -> None:
    for number in trials:
        store.write_trial(run_id, "office", sample.trial(number), sample.result(number))


def test_a_run_comes_back_as_it_was_written(store: ResultStore) -> None:
    finished = sample.START + timedelta(hours=1)
    written = sample.run(finished_at=finished, status="complete", facts='{"é": 1}', planned_out="[{}]")
    store.write_run(written)
    assert store.run(RUN_ID) == written


def test_a_run_is_replaced_as_a_whole(store: ResultStore) -> None:
    store.write_run(sample.run(labels={"a": "1"}))
    store.write_run(sample.run(labels={}, status="complete"))
    assert store.run(RUN_ID) == sample.run(labels={}, status="complete")
    assert len(store.runs()) == 1


def test_runs_come_newest_first(store: ResultStore) -> None:
    for day in (3, 1, 2):
        store.write_run(sample.run(f"r{day}", started_at=sample.START + timedelta(days=day)))
    assert [run.run_id for run in store.runs()] == ["r3", "r2", "r1"]


def test_an_empty_store_has_no_runs_and_no_rows(store: ResultStore) -> None:
    assert store.runs() == []
    assert store.finished_trials(RUN_ID) == frozenset()
    for name in ("runs", "checks", "trials", "pulls", "transfers"):
        assert store.table(name, RUN_ID).num_rows == 0


def test_an_absent_run_is_named_with_what_there_is(store: ResultStore) -> None:
    with pytest.raises(UsageError, match=r"run 'nope' is not in .*; there are no runs yet"):
        store.run("nope")
    for number in range(7):
        store.write_run(sample.run(f"r{number}", started_at=sample.START + timedelta(days=number)))
    with pytest.raises(UsageError, match="there are: r6, r5, r4, r3, r2 …"):
        store.run("nope")


@pytest.mark.parametrize("bad", ["", "..", ".", "a/b", "../x", "a\\b", "-x", "a b", "x" * 64, "a\n", "é", "a.b", "*"])
@pytest.mark.promise("names", "A run_id that a user gives becomes no other path")
def test_check_run_id_lets_no_run_id_become_another_path(disk: ResultStore, bad: str) -> None:
    calls = (
        lambda: disk.run(bad),
        lambda: disk.table("pulls", bad),
        lambda: disk.frame("runs", bad),
        lambda: disk.finished_trials(bad),
        lambda: disk.compact(bad),
        lambda: disk.write_run(sample.run(bad)),
        lambda: disk.write_checks(bad, "office", [], sample.START),
        lambda: write(disk, 1, run_id=bad),
    )
    for call in calls:
        with pytest.raises(UsageError, match="is not a run_id"):
            call()
    assert disk.files.names("") == []


def test_a_new_run_id_sorts_by_time_in_utc() -> None:
    east = timezone(timedelta(hours=2))
    assert new_run_id(datetime(2026, 11, 23, 18, 15, 0, tzinfo=east), b"\x3f\xa2\xff") == "20261123T161500Z-3fa2"


def test_findings_come_back_with_their_run(store: ResultStore) -> None:
    findings = [
        Finding(check="dns", target="eu", status=Status.PASS, observed="192.0.2.1"),
        Finding(
            check="tls",
            target="eu",
            status=Status.FAIL,
            observed="expired",
            expected="a trusted certificate",
            remedy="renew",
            duration_s=0.5,
            evidence='{"checked_at": null}',
            code=ErrorCode.TLS_EXPIRED,
            parameters={"host": "r.example", "endpoint": "r.example:443"},
        ),
        Finding(
            check="http2", target="eu", status=Status.WARN, observed="none", remedy="enable it", kind="http2-no-h2"
        ),
    ]
    store.write_checks(RUN_ID, "office", findings, sample.START)
    rows = store.table("checks", RUN_ID).to_pylist()
    assert [(row["code"], row["parameters"]) for row in rows] == [
        (None, "{}"),
        ("tls_expired", '{"endpoint": "r.example:443", "host": "r.example"}'),
        (None, "{}"),
    ]
    assert [row["kind"] for row in rows] == [None, None, "http2-no-h2"]
    older = store.frame("checks", RUN_ID).drop(columns=["kind"]).to_dict("records")
    assert [schema.finding_from_row(row).topic for row in older] == [None, "tls_expired", "http2"]
    assert [schema.finding_from_row(row) for row in rows] == findings
    assert [schema.finding_from_row(row) for row in store.frame("checks", RUN_ID).to_dict("records")] == findings
    assert [(row["run_id"], row["vantage"], row["check"], row["status"]) for row in rows] == [
        (RUN_ID, "office", "dns", "pass"),
        (RUN_ID, "office", "tls", "fail"),
        (RUN_ID, "office", "http2", "warn"),
    ]
    assert rows[1]["duration_s"] == 0.5
    assert rows[1]["checked_at"] == sample.START


def test_a_trial_comes_back_with_its_place_and_its_nulls(store: ResultStore) -> None:
    write(store, 5)
    (row,) = store.table("trials", RUN_ID).to_pylist()
    assert (row["run_id"], row["vantage"]) == (RUN_ID, "office")
    assert (row["trial"], row["block"], row["warmup"]) == (5, 1, False)
    assert {key: row[key] for key in sample.CELL.as_dict()} == sample.CELL.as_dict()
    assert (row["wall_s"], row["client_busy"]) == (7.5, None)
    first, second = store.table("pulls", RUN_ID).to_pylist()
    assert (first["ok"], first["error_code"], first["error"]) == (False, "reset", "connection reset by peer")
    assert (second["ok"], second["error_code"], second["layers_cached"]) == (True, None, None)
    assert second["bytes"] == 5_000_000_001
    assert second["started_at"] == sample.START + timedelta(microseconds=1)
    assert store.table("transfers", RUN_ID).column("pull").to_pylist() == [0, 1, 0]


def test_a_trial_without_pulls_or_transfers_is_finished_too(store: ResultStore) -> None:
    store.write_trial(RUN_ID, "office", sample.trial(0), sample.result(0, transfers=0))
    assert store.finished_trials(RUN_ID) == {0}
    store.compact(RUN_ID)
    assert store.table("transfers", RUN_ID).num_rows == 0
    assert store.finished_trials(RUN_ID) == {0}


def test_trials_come_in_order_also_past_five_digits(store: ResultStore) -> None:
    write(store, 100_000, 99_999, 3)
    assert store.finished_trials(RUN_ID) == {3, 99_999, 100_000}
    assert store.table("trials", RUN_ID).column("trial").to_pylist() == [3, 99_999, 100_000]


@pytest.mark.promise("accidents", "Two processes resume one run: the second ends with exit 3")
def test_write_trial_refuses_a_trial_that_another_process_has_stored(store: ResultStore) -> None:
    write(store, 1)
    before = store.table("pulls", RUN_ID)
    for _ in range(2):
        with pytest.raises(IncompleteError, match="another process"):
            store.write_trial(RUN_ID, "office", sample.trial(1), sample.result(1, pulls=9))
        assert store.table("pulls", RUN_ID) == before
        store.compact(RUN_ID)


def test_compacting_changes_no_row(store: ResultStore) -> None:
    write(store, *range(6))
    before = {name: store.table(name, RUN_ID) for name in ("trials", "pulls", "transfers")}
    store.compact(RUN_ID)
    for name, table in before.items():
        assert store.files.names(f"{name}/{RUN_ID}") == ["compacted.parquet"]
        assert store.table(name, RUN_ID) == table  # type: ignore[arg-type]
    assert store.finished_trials(RUN_ID) == frozenset(range(6))


def test_a_resumed_run_is_compacted_again(store: ResultStore) -> None:
    write(store, 0, 2)
    store.compact(RUN_ID)
    write(store, 1)
    assert store.table("trials", RUN_ID).column("trial").to_pylist() == [0, 1, 2]
    store.compact(RUN_ID)
    assert store.table("trials", RUN_ID).column("trial").to_pylist() == [0, 1, 2]
    assert store.files.names(f"pulls/{RUN_ID}") == ["compacted.parquet"]


def test_compacting_nothing_leaves_nothing(store: ResultStore) -> None:
    store.compact(RUN_ID)
    assert store.files.names("trials") == []


def test_two_runs_on_one_folder_do_not_disturb_each_other(disk: ResultStore) -> None:
    other = ResultStore(disk.url)
    write(disk, 0, run_id="a")
    write(other, 0, 1, run_id="b")
    disk.compact("a")
    write(other, 2, run_id="b")
    assert disk.table("trials", "a").column("trial").to_pylist() == [0]
    assert other.table("trials", "b").column("trial").to_pylist() == [0, 1, 2]
    assert set(other.table("pulls", "b").column("run_id").to_pylist()) == {"b"}


def test_a_frames_types_do_not_depend_on_what_was_measured(store: ResultStore) -> None:
    empty = store.frame("transfers", RUN_ID).dtypes
    write(store, 0)
    frame = store.frame("transfers", RUN_ID)
    assert frame.dtypes.to_dict() == empty.to_dict()
    assert frame["bytes"].dtype == pd.Int64Dtype()
    assert frame["reused"].dtype == pd.BooleanDtype()
    assert frame["dns_s"].isna().all()


def test_large_sizes_beside_nulls_keep_their_last_digit(store: ResultStore) -> None:
    write(store, 0)
    found = store.table("pulls", RUN_ID)
    large = pa.array([2**53 + 1, None], pa.int64())
    changed = found.set_column(found.schema.get_field_index("bytes"), "bytes", large)
    store._put("pulls", RUN_ID, "trial-00000.parquet", changed)
    assert store.frame("pulls", RUN_ID)["bytes"].tolist() == [2**53 + 1, pd.NA]


def test_duckdb_reads_the_same_rows(disk: ResultStore) -> None:
    disk.write_run(sample.run())
    write(disk, 0, 1, 2)
    for _ in range(2):
        query = (
            f"select trial, count(*), sum(duration_s), max(started_at) from '{disk.url}/pulls/*/*.parquet' group by 1"
        )
        by_trial = {row[0]: row[1:] for row in duckdb.execute(query).fetchall()}
        frame = disk.frame("pulls", RUN_ID)
        for number, rows in frame.groupby("trial"):
            assert by_trial[number] == (len(rows), rows["duration_s"].sum(), rows["started_at"].max())
        disk.compact(RUN_ID)
    (labels,) = duckdb.execute(f"select labels from '{disk.url}/runs/*/*.parquet'").fetchall()
    assert json.loads(labels[0]) == {"commit": "3f4ff3c", "who": "Zoë"}


def test_instants_in_another_zone_are_stored_in_utc(store: ResultStore) -> None:
    east = sample.START.astimezone(timezone(timedelta(hours=2)))
    store.write_run(sample.run(started_at=east))
    found = store.run(RUN_ID)
    assert found.started_at == sample.START
    assert found.started_at.tzinfo is UTC


def test_text_that_utf8_cannot_hold_loses_no_trial(store: ResultStore) -> None:
    whole = sample.result(0)
    odd = dataclasses.replace(whole.pulls[0], error="denied: \ud800!")
    store.write_trial(RUN_ID, "office", sample.trial(0), dataclasses.replace(whole, pulls=(odd, *whole.pulls[1:])))
    assert store.table("pulls", RUN_ID).column("error").to_pylist() == ["denied: ?!", None]


def test_a_frame_of_chosen_rows_and_columns_has_what_the_whole_has(store: ResultStore) -> None:
    write(store, 0, 1, 2)
    store.compact(RUN_ID)
    write(store, 3)
    whole = store.frame("transfers", RUN_ID)
    columns = ["kind", "total_s", "error_code", "bytes"]
    chosen = store.frame("transfers", RUN_ID, columns=columns, where={"kind": ["layer"], "trial": [1, 3]})
    expected = whole[(whole["kind"] == "layer") & whole["trial"].isin([1, 3])]
    pd.testing.assert_frame_equal(chosen, expected[columns].reset_index(drop=True))
    assert len(chosen) and len(chosen) < len(whole)


def test_categories_say_the_same_as_texts_and_sort_alike(store: ResultStore) -> None:
    write(store, 0, 1)
    store.compact(RUN_ID)
    write(store, 2)
    texts, encoded = store.frame("pulls", RUN_ID), store.frame("pulls", RUN_ID, categories=True)
    assert {str(encoded[name].dtype) for name in ("engine", "image", "error_code")} == {"category"}
    assert encoded["image"].cat.categories.tolist() == sorted(set(texts["image"]))
    for name in texts:
        assert encoded[name].astype(object).where(encoded[name].notna(), None).tolist() == [
            None if pd.isna(value) else value for value in texts[name]
        ]


def test_a_file_without_a_column_of_today_is_read_with_categories_too(store: ResultStore) -> None:
    write(store, 0)
    older = store.table("pulls", RUN_ID).drop_columns(["served_by"])
    store._put("pulls", RUN_ID, "trial-00000.parquet", older)
    frame = store.frame("pulls", RUN_ID, categories=True)
    assert frame["served_by"].isna().all() and str(frame["served_by"].dtype) == "category"


def test_a_choice_by_a_column_that_an_older_file_lacks_finds_nothing_there(store: ResultStore) -> None:
    write(store, 0, 1)
    store._put("pulls", RUN_ID, "trial-00000.parquet", store.table("pulls", RUN_ID).drop_columns(["error_code"]))
    found = store.frame("pulls", RUN_ID, where={"error_code": ["reset"]})
    assert list(found.columns) == list(store.frame("pulls", RUN_ID).columns)
    assert set(found["trial"]) <= {1}


@pytest.mark.parametrize("run_id", ["../../x", "/etc", "another-run", ""])
@pytest.mark.promise("names", "A run_id in stored results becomes no other path")
def test_the_look_at_its_folder_lets_no_stored_run_id_become_another_path(disk: ResultStore, run_id: str) -> None:
    disk.write_run(sample.run())
    forged = schema.run_to_table(sample.run(run_id=run_id))
    disk.files.put(f"runs/{RUN_ID}/run.parquet", _written(schema.stamped(forged), "snappy"))
    for read in (disk.runs, lambda: disk.run(RUN_ID)):
        with pytest.raises(UsageError, match="not its directory"):
            read()
