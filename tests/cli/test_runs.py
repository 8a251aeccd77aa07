"""`pullbench runs prune`: what it tells, what it removes, and that `pullbench runs` is what it was."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
import typer
from rich.console import Console

from pullbench.cli.baseline import list_baselines
from pullbench.cli.runs import app, prune_runs
from pullbench.cli.runs import runs as list_runs
from pullbench.errors import IncompleteError, UsageError
from pullbench.store.baselines import Baselines
from pullbench.store.dataset import ResultStore
from pullbench.store.retention import remove_run
from tests.cli.test_cli import Shell, shell  # noqa: F401  (a fixture)
from tests.store.sample import START, run

DAY = timedelta(days=1)
NOW = START + 400 * DAY


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    """Four runs of a benchmark, a hundred days apart; the oldest is its baseline."""
    made = ResultStore(str(tmp_path / "results"))
    for number in range(4):
        made.write_run(run(f"run-{number}", status="complete", started_at=START + number * 100 * DAY))
    Baselines(made).set("run-0", NOW)
    return made


def pruned(store: ResultStore, **options: object) -> int:
    defaults: dict[str, object] = {
        "reports": None,
        "keep": None,
        "older_than": None,
        "names": [],
        "apply": False,
        "as_json": False,
    }
    return prune_runs(results=store.url, now=NOW, **{**defaults, **options})  # type: ignore[arg-type]


def left(store: ResultStore) -> list[str]:
    return sorted(entry.run_id for entry in store.runs())


def test_without_apply_nothing_is_removed_and_all_is_told(
    store: ResultStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pruned(store, keep=1) == 0
    told = capsys.readouterr().out
    assert len(left(store)) == 4
    assert "the newest 1" in told
    assert "the baseline" in told
    assert told.count("would be removed") == 3
    assert "2 runs would" in told
    assert "--apply" in told


def test_apply_removes_what_no_rule_keeps(store: ResultStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert pruned(store, keep=1, apply=True) == 0
    assert left(store) == ["run-0", "run-3"]
    assert capsys.readouterr().out.startswith("removed 2 runs, ")


def test_an_age_leaves_what_was_started_since(store: ResultStore) -> None:
    pruned(store, older_than="250d", apply=True)
    assert left(store) == ["run-0", "run-2", "run-3"]


def test_a_name_leaves_the_other_benchmarks_alone(store: ResultStore, capsys: pytest.CaptureFixture[str]) -> None:
    store.write_run(run("try", name="try-1", status="complete"))
    pruned(store, keep=0, names=["try-*"], apply=True)
    assert left(store) == ["run-0", "run-1", "run-2", "run-3"]


def test_the_reports_of_removed_runs_go_where_that_is_asked_for(store: ResultStore, tmp_path: Path) -> None:
    for name in ("run-1", "run-3"):
        (tmp_path / "reports" / name).mkdir(parents=True)
        (tmp_path / "reports" / name / "index.html").write_text("report")
    pruned(store, keep=1, reports=tmp_path / "reports", apply=True)
    assert [entry.name for entry in (tmp_path / "reports").iterdir()] == ["run-3"]


def test_the_document_says_of_each_run_what_becomes_of_it(
    store: ResultStore, capsys: pytest.CaptureFixture[str]
) -> None:
    pruned(store, keep=1, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["applied"] is False
    actions = {row["run_id"]: row["action"] for row in document["runs"]}
    assert actions == {"run-3": "kept", "run-2": "would remove", "run-1": "would remove", "run-0": "kept"}
    assert document["freed_bytes"] == sum(row["bytes"] or 0 for row in document["runs"])
    assert document["freed_bytes"] > 0


def test_a_removal_that_was_stopped_is_ended(store: ResultStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(_: object, folder: str) -> None:
        raise IncompleteError(f"{folder}: cannot be removed: busy")

    with monkeypatch.context() as patch:
        patch.setattr("pullbench.store.files.Files.remove_folder", stopped)
        with pytest.raises(IncompleteError, match="busy; 0 runs removed"):
            pruned(store, keep=1, apply=True)
    assert store.files.names("removing") == ["run-2"]
    pruned(store, keep=10, apply=True)
    assert store.files.names("removing") == []
    assert left(store) == ["run-0", "run-1", "run-3"]


def test_what_may_go_has_to_be_said(store: ResultStore) -> None:
    with pytest.raises(UsageError, match=r"--keep 10 .* --older-than 400d"):
        pruned(store, apply=True)
    with pytest.raises(UsageError, match="is not an age"):
        pruned(store, older_than="a year")


def test_a_run_of_which_a_removal_is_under_way_is_not_listed(store: ResultStore) -> None:
    remove_run(store, "run-2")
    assert left(store) == ["run-0", "run-1", "run-3"]


def test_runs_lists_as_before_and_prune_is_its_own_command(shell: Shell, store: ResultStore) -> None:  # noqa: F811
    code, out, _ = shell("runs", "--results", store.url, "--json")
    assert code == 0
    assert [row["run_id"] for row in json.loads(out)] == ["run-3", "run-2", "run-1", "run-0"]
    code, out, _ = shell("runs", "prune", "--results", store.url, "--keep", "1")
    assert code == 0
    assert "would be removed" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs", "--results", "elsewhere", "prune", "--keep", "1"], "after prune, not before it"),
        (["runs", "--json", "prune", "--keep", "1"], "after prune, not before it"),
        (["runs", "frobnicate"], "unknown command"),
        (["runs", "prune"], "--keep 10"),
        (["runs", "prune", "--keep", "-1"], "--keep"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_2(shell: Shell, arguments: list[str], message: str) -> None:  # noqa: F811
    code, out, err = shell(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


LONG = "a-nightly-concurrency-sweep-of-every-registry-and-mirror-of-the-office"


@pytest.mark.parametrize("width", [64, 80, 120, 200])
@pytest.mark.parametrize("name", ["sweep", LONG, "every registry and mirror of the office " * 2])
def test_a_list_folds_the_name_and_cuts_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int, name: str
) -> None:
    store = ResultStore(str(tmp_path))
    run_ids = [f"2026112{number}T161500Z-3fa2" for number in range(3)]
    for run_id, status in zip(run_ids, ("complete", "incomplete", "failed"), strict=True):
        kind = "stress" if status == "failed" else "benchmark"
        store.write_run(run(run_id, name=name, status=status, kind=kind))
    Baselines(store).set(run_ids[0], NOW)
    console = Console(width=width, force_terminal=True, color_system=None)
    for module in ("runs", "baseline"):
        monkeypatch.setattr(f"pullbench.cli.{module}.stdout_console", lambda: console)
    lists = (
        lambda: list_runs(typer.Context(typer.main.get_command(app)), results=store.url, as_json=False),
        lambda: list_baselines(results=store.url, as_json=False),
        lambda: pruned(store, keep=0),
    )
    for number, listed in enumerate(lists):
        listed()
        shown = capsys.readouterr().out
        assert "…" not in shown and max(map(len, shown.splitlines())) <= width
        whole = (
            [run_ids[0]] if number == 1 else [*run_ids, *(["complete", "incomplete", "failed"] if number == 0 else [])]
        )
        assert [word for word in whole if not re.search(rf"(?<!\S){word}(?!\S)", shown)] == []
