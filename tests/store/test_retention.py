"""Which runs go, and that a run is taken out whole."""

from datetime import timedelta

import pytest

from pullbench.errors import IncompleteError
from pullbench.store.dataset import ResultStore
from pullbench.store.ledger import Ledger
from pullbench.store.retention import MAY_STILL_RUN, decide_retention, half_removed, remove_run, run_bytes
from tests.store.sample import RUN_ID, START, result, run, trial

DAY = timedelta(days=1)
NOW = START + 400 * DAY


def old(days: int, **changes: object) -> object:
    changes = {"status": "complete", "run_id": f"run-{days:03d}", **changes}
    return run(started_at=NOW - days * DAY, **changes)  # type: ignore[arg-type]


def going(
    *runs: object, newest: int | None = None, days: int | None = None, baselines: set[str] | None = None
) -> list[str]:
    before = None if days is None else NOW - days * DAY
    chosen = decide_retention(runs, baselines=baselines or set(), newest=newest, started_before=before, now=NOW)  # type: ignore[arg-type]
    assert len(chosen) == len(runs)
    return [choice.run.run_id for choice in chosen if choice.kept is None]


def test_the_newest_runs_of_each_name_kind_and_vantage_stay() -> None:
    runs = [
        *(old(days) for days in (1, 2, 3)),
        *(old(days, vantage="berlin", run_id=f"berlin-{days}") for days in (1, 2, 3)),
        *(old(days, kind="stress", run_id=f"stress-{days}") for days in (1, 2, 3)),
        *(old(days, name="other", run_id=f"other-{days}") for days in (1, 2, 3)),
    ]
    assert sorted(going(*runs, newest=2)) == ["berlin-3", "other-3", "run-003", "stress-3"]


def test_runs_that_did_not_complete_are_no_part_of_the_count_and_go_with_their_time() -> None:
    runs = [old(1), old(2, status="incomplete"), old(3), old(4, status="failed"), old(5)]
    assert going(*runs, newest=2) == ["run-004", "run-005"]


def test_only_what_is_old_goes_and_never_the_newest_of_a_name() -> None:
    assert going(old(10), old(200), old(300), days=100) == ["run-200", "run-300"]
    assert going(old(200), old(300), days=100) == ["run-300"]


def test_the_newest_complete_run_stays_behind_newer_ones_that_were_not() -> None:
    runs = [old(200, status="failed"), old(250, status="incomplete"), old(300), old(350)]
    assert going(*runs, days=100) == ["run-250", "run-350"]


def test_with_both_rules_a_run_stays_where_either_keeps_it() -> None:
    runs = [old(10), old(20), old(200), old(300)]
    assert going(*runs, newest=3, days=100) == ["run-300"]
    assert going(*runs, newest=1, days=100) == ["run-200", "run-300"]


def test_keeping_none_takes_the_newest_too() -> None:
    assert going(old(1), old(2), newest=0) == ["run-001", "run-002"]
    assert going(old(1), old(200), newest=0, days=100) == ["run-200"]


def test_a_baseline_stays_whatever_is_asked_for() -> None:
    assert going(old(1), old(2), newest=0, baselines={"run-002"}) == ["run-001"]


def test_a_run_that_may_still_be_measuring_stays_and_one_that_was_killed_long_ago_does_not() -> None:
    runs = [old(1, status="running"), old(MAY_STILL_RUN.days + 1, status="running")]
    assert going(*runs, newest=0) == [f"run-{MAY_STILL_RUN.days + 1:03d}"]


def test_every_choice_that_stays_says_why() -> None:
    chosen = decide_retention([old(1), old(2)], baselines={"run-002"}, newest=1, started_before=None, now=NOW)  # type: ignore[list-item]
    assert ["newest 1" in (choice.kept or "") for choice in chosen] == [True, False]
    assert "baseline" in (chosen[1].kept or "")


def written(store: ResultStore, run_id: str = RUN_ID) -> None:
    store.write_run(run(run_id))
    for number in range(2):
        store.write_trial(run_id, "office", trial(number), result(number))
    store.write_checks(run_id, "office", [], START)


def test_a_run_that_is_removed_is_gone_from_every_table_and_the_others_are_whole(store: ResultStore) -> None:
    written(store)
    written(store, "other")
    before = store.table("pulls", "other")
    remove_run(store, RUN_ID)
    assert [entry.run_id for entry in store.runs()] == ["other"]
    for table in ("runs", "checks", "trials", "pulls", "transfers"):
        assert RUN_ID not in store.files.names(table)
    assert store.table("pulls", "other") == before
    assert half_removed(store) == []
    remove_run(store, RUN_ID)


def test_what_a_removed_run_brought_into_a_daemon_is_still_known(store: ResultStore) -> None:
    written(store)
    Ledger(store).record(RUN_ID, 1, "daemon", ["sha256:" + "a" * 64])
    remove_run(store, RUN_ID)
    assert Ledger(store).brought("daemon") == {"sha256:" + "a" * 64}


@pytest.mark.parametrize("survives", [1, 2, 3, 4, 5])
def test_a_removal_that_is_stopped_anywhere_leaves_no_half_run_in_the_list_and_is_ended_later(
    store: ResultStore, monkeypatch: pytest.MonkeyPatch, survives: int
) -> None:
    written(store)
    remove, calls = store.files.remove_folder, iter(range(100))

    def stopped(folder: str) -> None:
        if next(calls) == survives:
            raise IncompleteError(f"{folder}: cannot be removed")
        remove(folder)

    monkeypatch.setattr(store.files, "remove_folder", stopped)
    with pytest.raises(IncompleteError):
        remove_run(store, RUN_ID)
    monkeypatch.undo()
    assert store.runs() == []
    assert half_removed(store) == [RUN_ID]
    remove_run(store, RUN_ID)
    assert half_removed(store) == []
    assert store.files.names("transfers") == []


def test_a_runs_size_is_that_of_its_files(store: ResultStore) -> None:
    written(store)
    contents = store.files.read(
        f"{table}/{RUN_ID}/{name}"
        for table in ("runs", "checks", "trials", "pulls", "transfers")
        for name in store.files.names(f"{table}/{RUN_ID}")
    )
    assert run_bytes(store, RUN_ID) >= sum(map(len, contents.values()))
    assert run_bytes(store, "nothing") == 0
