"""Which runs are monitored, and what is read again."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from pullbench.monitor.latest import StoredRuns, last_runs
from pullbench.store.dataset import ResultStore
from tests.monitor.samples import FINISHED_AT, STARTED_AT, run

DAY = timedelta(days=1)


def test_the_newest_run_that_ended_stands_for_its_name_kind_and_vantage() -> None:
    runs = [
        run(run_id="new", started_at=STARTED_AT + DAY, finished_at=FINISHED_AT + DAY),
        run(run_id="old"),
        run(run_id="far", vantage="berlin"),
        run(run_id="stress", kind="stress"),
        run(run_id="going", started_at=STARTED_AT + 2 * DAY, status="running", finished_at=None),
    ]
    assert sorted(last.run.run_id for last in last_runs(runs)) == ["far", "new", "stress"]


def test_a_calibration_is_not_monitored_for_its_registries_are_faulty_on_purpose() -> None:
    assert [last.run.run_id for last in last_runs([run(run_id="a", kind="calibration"), run(run_id="b")])] == ["b"]


def test_the_newest_complete_run_is_remembered_behind_one_that_was_not() -> None:
    failed = run(run_id="new", started_at=STARTED_AT + DAY, finished_at=FINISHED_AT + DAY, status="failed")
    (last,) = last_runs([failed, run(run_id="old")])
    assert (last.run.run_id, last.completed_at) == ("new", FINISHED_AT)


def test_a_benchmark_that_was_never_complete_has_no_such_time() -> None:
    (last,) = last_runs([run(status="incomplete")])
    assert last.completed_at is None


def test_names_choose_by_globs_that_heed_case() -> None:
    runs = [run(name="prod-eu"), run(name="Prod-us"), run(name="lab")]
    assert [last.run.name for last in last_runs(runs, ["prod-*"])] == ["prod-eu"]
    assert len(last_runs(runs, ["lab", "prod-*"])) == 2


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(str(tmp_path))


def test_a_complete_run_is_read_once_and_one_under_way_again(
    store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write_run(run(run_id="done"))
    store.write_run(run(run_id="going", status="running"))
    asked: list[str] = []
    table = store.table
    monkeypatch.setattr(store, "table", lambda name, run_id: (asked.append(run_id), table(name, run_id))[1])
    runs = StoredRuns(store)
    runs.read()
    store.write_run(run(run_id="going", status="complete"))
    assert {entry.run_id: entry.status for entry in runs.read()} == {"done": "complete", "going": "complete"}
    assert sorted(asked) == ["done", "going", "going"]


def test_a_run_that_is_gone_is_forgotten(store: ResultStore, tmp_path: Path) -> None:
    store.write_run(run())
    runs = StoredRuns(store)
    assert len(runs.read()) == 1
    shutil.rmtree(tmp_path / "runs" / run().run_id)
    assert runs.read() == []


def test_a_run_that_cannot_be_read_is_named_and_the_others_are_there(store: ResultStore) -> None:
    store.write_run(run(run_id="fine"))
    store.files.put("runs/broken/run.parquet", b"not Parquet")
    runs = StoredRuns(store)
    assert [entry.run_id for entry in runs.read()] == ["fine"]
    assert list(runs.unreadable) == ["broken"]
    store.write_run(run(run_id="broken"))
    assert len(runs.read()) == 2
    assert runs.unreadable == {}


def test_a_folder_whose_name_is_no_run_id_is_passed_over(store: ResultStore) -> None:
    store.files.put("runs/.snapshot/run.parquet", b"not ours")
    runs = StoredRuns(store)
    assert runs.read() == []
    assert runs.unreadable == {}
