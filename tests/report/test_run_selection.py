"""Which run a person means by a run_id, a word, a label or a name."""

from datetime import timedelta
from pathlib import Path

import pytest

from pullbench.errors import UsageError
from pullbench.model.record import RunRecord
from pullbench.report.core.run_selection import choose_baseline, choose_candidate, choose_run
from pullbench.store.baselines import Baselines
from pullbench.store.dataset import ResultStore
from tests.store import sample


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    """Four runs, an hour apart: two sweeps, a run of another name, a sweep that did not end."""
    made = ResultStore(str(tmp_path))
    runs = [
        {"run_id": "sweep-1", "name": "sweep", "labels": {"commit": "aaa"}},
        {"run_id": "sweep-2", "name": "sweep", "labels": {"commit": "bbb"}},
        {"run_id": "other-1", "name": "other", "labels": {"commit": "aaa"}},
        {"run_id": "sweep-3", "name": "sweep", "labels": {"commit": "ccc"}, "status": "incomplete"},
    ]
    for hour, changes in enumerate(runs):
        made.write_run(sample.run(**{"status": "complete"} | changes, started_at=sample.START + timedelta(hours=hour)))  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize(
    ("text", "run_id"),
    [("sweep-1", "sweep-1"), ("latest", "sweep-3"), ("commit=aaa", "other-1"), ("sweep", "sweep-2")],
)
def test_a_run_is_found_by_id_word_label_or_name(store: ResultStore, text: str, run_id: str) -> None:
    assert choose_run(store, text).run_id == run_id


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("commit=ccc", "commit=aaa"),
        ("swep", "did you mean 'sweep'"),
        ("baseline", "pullbench baseline list"),
    ],
)
def test_what_fits_nothing_is_told_with_what_there_is(store: ResultStore, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        choose_run(store, text)


def test_no_run_at_all_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run is stored in"):
        choose_run(ResultStore(str(tmp_path / "empty")), "latest")


def candidate(store: ResultStore, run_id: str) -> RunRecord:
    return store.run(run_id)


@pytest.mark.parametrize(
    ("text", "after", "run_id"),
    [
        ("latest", "sweep-3", "sweep-2"),
        ("latest", "sweep-2", "sweep-1"),
        ("sweep", "sweep-2", "sweep-1"),
        ("commit=aaa", "sweep-2", "sweep-1"),
        ("commit=bbb", "sweep-1", "sweep-2"),
        ("other-1", "sweep-2", "other-1"),
    ],
)
def test_a_baseline_is_of_the_candidate_s_name_and_from_before_it_unless_it_is_named(
    store: ResultStore, text: str, after: str, run_id: str
) -> None:
    assert choose_baseline(store, text, candidate(store, after)).run_id == run_id


def test_the_baseline_that_was_set_is_found_by_that_word(store: ResultStore) -> None:
    with pytest.raises(UsageError, match="none is set for 'sweep'; set one with `pullbench baseline set RUN_ID`"):
        choose_baseline(store, "baseline", candidate(store, "sweep-3"))

    Baselines(store).set("sweep-1", sample.START)

    assert choose_baseline(store, "baseline", candidate(store, "sweep-3")).run_id == "sweep-1"


@pytest.mark.parametrize("text", ["latest", "sweep", "commit=ddd"])
def test_a_run_of_another_kind_is_no_baseline_unless_it_is_named(store: ResultStore, text: str) -> None:
    made = sample.run(
        "stress-1",
        name="sweep",
        kind="stress",
        status="complete",
        labels={"commit": "ddd"},
        started_at=sample.START + timedelta(hours=2, minutes=30),
    )
    store.write_run(made)
    if "=" in text:
        with pytest.raises(UsageError, match="this label"):
            choose_baseline(store, text, candidate(store, "sweep-3"))
    else:
        assert choose_baseline(store, text, candidate(store, "sweep-3")).run_id == "sweep-2"
    assert choose_baseline(store, "stress-1", candidate(store, "sweep-3")).run_id == "stress-1"
    with pytest.raises(UsageError, match=r"is older than stress-1 and of its kind \(stress\)"):
        choose_baseline(store, "other", store.run("stress-1"))


def test_a_baseline_that_was_set_of_another_kind_is_refused(store: ResultStore) -> None:
    store.write_run(sample.run("stress-1", name="sweep", kind="stress", status="complete"))
    Baselines(store).set("stress-1", sample.START)
    with pytest.raises(UsageError, match="stress-1, is a run of kind stress, and sweep-3 is of kind benchmark"):
        choose_baseline(store, "baseline", candidate(store, "sweep-3"))


def test_the_first_run_of_a_name_has_no_latest_before_it(store: ResultStore) -> None:
    with pytest.raises(UsageError, match="no complete run of 'sweep' is older than sweep-1 "):
        choose_baseline(store, "latest", candidate(store, "sweep-1"))


def test_a_calibration_is_the_latest_to_be_shown_and_none_to_be_compared(store: ResultStore) -> None:
    later = sample.START + timedelta(days=1)
    made = sample.run("calibrated-1", name="calibration", kind="calibration", status="complete", started_at=later)
    store.write_run(made)
    assert choose_run(store, "latest").run_id == "calibrated-1"
    assert choose_candidate(store, "latest").run_id == "sweep-3"
    with pytest.raises(UsageError, match="'calibrated-1': a calibration is compared with the truth"):
        choose_candidate(store, "calibrated-1")
    with pytest.raises(UsageError, match="a calibration is compared with"):
        choose_baseline(store, "calibrated-1", store.run("sweep-3"))
    with pytest.raises(UsageError, match=r"there are: other, sweep, "):
        choose_candidate(store, "calibration")
