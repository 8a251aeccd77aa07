"""Each guard of a run against one thing that may befall it; a test is named after its guard, and fails without it.

docs/robustness.md has them as a table; tests/integration/test_nothing_is_lost.py and test_resume.py do the same to real runs.
"""

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import pytest

from pullbench.app.run import conduct
from pullbench.engines.base import TrialSetup
from pullbench.engines.fake import FakeEngine
from pullbench.errors import ErrorCode, IncompleteError, RegistryError
from pullbench.model.plan import Trial
from pullbench.model.record import TrialResult
from pullbench.store.dataset import ResultStore, new_run_id
from tests.app.test_run import Calls, prepare, stored_run
from tests.store import sample
from tests.store.sample import RUN_ID


class Killed(BaseException):
    """What kill -9 is to the code."""


@pytest.mark.promise(
    "accidents",
    "`kill -9`, many times: every finished trial is stored and readable; the trial in progress is measured again",
)
def test_the_temporary_name_keeps_a_part_that_was_killed_in_mid_write_out_of_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ResultStore(str(tmp_path))
    store.write_trial(RUN_ID, "office", sample.trial(0), sample.result(0))
    opened = Path.open

    def half(path: Path, mode: str = "r", *more: Any, **options: Any) -> IO[Any]:
        file = opened(path, mode, *more, **options)
        if "trials" in str(path) and mode == "xb":
            file.write(b"PAR1 and no more")
            file.close()
            raise Killed
        return file

    def gone(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr(Path, "open", half)
    monkeypatch.setattr(Path, "unlink", gone)
    with pytest.raises(Killed):
        store.write_trial(RUN_ID, "office", sample.trial(1), sample.result(1))
    monkeypatch.undo()
    assert store.finished_trials(RUN_ID) == {0}
    assert {row["trial"] for row in store.table("trials", RUN_ID).to_pylist()} == {0}
    store.write_trial(RUN_ID, "office", sample.trial(1), sample.result(1))
    store.compact(RUN_ID)
    assert [path.name for path in (tmp_path / "trials" / RUN_ID).iterdir()] == ["compacted.parquet"]


class After(Calls):
    """Does something after the first trial was stored."""

    def __init__(self, action: Callable[[], object]) -> None:
        super().__init__()
        self._action = action

    def measured(self, trial: Trial, result: TrialResult) -> None:
        super().measured(trial, result)
        if len(self.measured_trials) == 1:
            self._action()


@pytest.mark.promise(
    "accidents", "Results directory removed: exit 3 with the number of lost trials; `--resume` measures them again"
)
def test_the_look_at_what_is_stored_tells_of_a_folder_that_was_removed_and_a_resume_completes_it(
    tmp_path: Path,
) -> None:
    removing = After(lambda: shutil.rmtree(tmp_path / "results" / "trials"))
    with pytest.raises(IncompleteError, match=r"1 of 6 stored trials.*--resume"):
        conduct(prepare(tmp_path), removing, removing)
    run = stored_run(tmp_path)
    assert run.status == "incomplete"
    again = Calls()
    conduct(prepare(tmp_path, resume=run.run_id), again, again)
    assert (again.measured_trials, stored_run(tmp_path).status) == ([0], "complete")


@pytest.mark.promise(
    "accidents", "Docker daemon restarted: exit 3 with its error; `--resume` continues when it is back"
)
def test_the_catch_of_run_trial_makes_an_incomplete_run_of_a_daemon_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = FakeEngine.open_trial

    def gone(engine: FakeEngine, setup: TrialSetup) -> None:
        if setup.trial == 2:
            raise RegistryError(ErrorCode.ENGINE_UNAVAILABLE, "docker", "Cannot connect to the Docker daemon")
        sound(engine, setup)

    monkeypatch.setattr(FakeEngine, "open_trial", gone)
    calls = Calls()
    with pytest.raises(IncompleteError, match=r"^trial 2 .*Docker daemon") as ended:
        conduct(prepare(tmp_path), calls, calls)
    assert ended.value.exit_code == 3
    run = stored_run(tmp_path)
    assert (calls.measured_trials, run.status) == ([0, 1], "incomplete")
    monkeypatch.undo()
    again = Calls()
    conduct(prepare(tmp_path, resume=run.run_id), again, again)
    assert (again.measured_trials, stored_run(tmp_path).status) == ([2, 3, 4, 5], "complete")


@pytest.mark.promise("accidents", "A run that is stopped is marked `incomplete`, whatever stopped it")
def test_the_closing_of_a_run_marks_it_incomplete_whatever_stops_it(tmp_path: Path) -> None:
    def stop() -> None:
        raise RuntimeError("a bug")

    stopping = After(stop)
    with pytest.raises(RuntimeError):
        conduct(prepare(tmp_path), stopping, stopping)
    run = stored_run(tmp_path)
    assert (run.status, run.stopped) == ("incomplete", "interrupted")


@pytest.mark.promise("accidents", "A run that is stopped after its last trial is complete; only its report is missing")
@pytest.mark.parametrize("end", [KeyboardInterrupt, RuntimeError])
def test_a_run_that_is_stopped_after_its_last_trial_is_complete(tmp_path: Path, end: type[BaseException]) -> None:
    class Stopping(Calls):
        def ended(self) -> None:
            raise end

    stopping = Stopping()
    with pytest.raises(end):
        conduct(prepare(tmp_path), stopping, stopping)
    run = stored_run(tmp_path)
    assert (run.status, run.stopped, len(stopping.measured_trials)) == ("complete", None, run.trials_planned)


@pytest.mark.promise("accidents", "Two runs in one results directory: each has a directory of its own")
def test_the_random_part_of_a_run_id_keeps_two_runs_of_one_second_apart() -> None:
    now = datetime.now(UTC)
    assert len({new_run_id(now, os.urandom(2)) for _ in range(20)}) > 10
