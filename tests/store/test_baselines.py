"""Which run others are compared with is kept beside the results, by the benchmark's name."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pullbench.errors import UsageError
from pullbench.store.baselines import Baselines
from pullbench.store.dataset import ResultStore
from tests.store import sample

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def stored(folder: Path, run_id: str, name: str) -> ResultStore:
    store = ResultStore(str(folder))
    store.write_run(sample.run(run_id=run_id, name=name))
    return store


def test_a_baseline_is_found_by_the_name_of_its_run(tmp_path: Path) -> None:
    store = stored(tmp_path, "run-1", "sweep")

    Baselines(store).set("run-1", NOW)

    found = Baselines(ResultStore(str(tmp_path))).of("sweep")
    assert found is not None
    assert (found.name, found.run_id, found.set_at) == ("sweep", "run-1", NOW)
    assert Baselines(store).of("another") is None


def test_a_name_has_one_baseline_the_last_that_was_set(tmp_path: Path) -> None:
    stored(tmp_path, "run-1", "sweep")
    store = stored(tmp_path, "run-2", "sweep")

    Baselines(store).set("run-1", NOW)
    Baselines(store).set("run-2", NOW)

    assert [entry.run_id for entry in Baselines(store).all()] == ["run-2"]


@pytest.mark.promise("names", "The name of a benchmark becomes no path")
def test_the_hash_of_a_name_lets_no_baseline_become_a_path(tmp_path: Path) -> None:
    store = stored(tmp_path / "results", "run-1", "../../etc/passwd")

    Baselines(store).set("run-1", NOW)

    assert [path.parent.name for path in tmp_path.rglob("*.json")] == ["baselines"]
    assert Baselines(store).of("../../etc/passwd") is not None


def test_a_run_that_is_not_stored_is_no_baseline(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run 'run-9' is not in"):
        Baselines(stored(tmp_path, "run-1", "sweep")).set("run-9", NOW)


def test_a_removed_baseline_is_gone_and_one_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    baselines = Baselines(stored(tmp_path, "run-1", "sweep"))
    baselines.set("run-1", NOW)

    with pytest.raises(UsageError, match="'other' has no baseline; there are: sweep"):
        baselines.remove("other")
    baselines.remove("sweep")

    assert baselines.all() == []


def test_a_file_that_is_no_baseline_is_named(tmp_path: Path) -> None:
    baselines = Baselines(stored(tmp_path, "run-1", "sweep"))
    baselines.set("run-1", NOW)
    next(tmp_path.rglob("baselines/*.json")).write_text("{}")

    with pytest.raises(UsageError, match=r"baselines/\w+\.json: "):
        baselines.of("sweep")
