"""The command line: one line for a mistake, the right exit code, and nothing contacted before the spec is valid."""

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import yaml

from pullbench.bench.facts import offline_facts
from pullbench.cli import main as cli
from pullbench.model.plan import plan as make_plan
from pullbench.model.spec_schema import spec_schema
from pullbench.store.dataset import ResultStore
from tests.app.test_duration import measured, stored
from tests.bench.samples import make_spec, spec_data

Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    """Runs the command line in this process: its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pullbench", *arguments])
        monkeypatch.setattr(cli, "_exit", sys.exit)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("something was contacted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


BAD_SPECS: dict[str, tuple[dict[str, object], str]] = {
    "unknown key": ({"imagez": ["a:1"]}, "imagez: "),
    "bad reference": ({"images": ["Not A Reference"]}, "images[0]: "),
    "unknown engine": ({"matrix": {"engines": ["crane"]}}, "matrix.engines[0]: "),
    "concurrency 0": ({"matrix": {"concurrency": [0]}}, "matrix.concurrency[0]:"),
    "duplicate names": ({"registries": spec_data()["registries"] * 2}, "registries[1]: 'eu' is listed twice"),
    "an empty matrix": ({"matrix": {"engines": []}}, "matrix.engines:"),
    "nothing left to measure": (
        {"matrix": {"engines": ["wire"], "cache": ["warm"]}},
        "no configuration is left to measure",
    ),
    "a matrix that is a list": ({"matrix": ["wire"]}, "matrix:"),
    "credentials in a URL": (
        {"registries": [{"name": "eu", "url": "http://me:hunter2@127.0.0.1:1"}]},
        "registries[0].url: has credentials",
    ),
}


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("command", ["run", "plan", "preflight", "stress"])
@pytest.mark.parametrize("case", BAD_SPECS)
def test_a_bad_spec_is_one_line_and_exit_2_and_nothing_is_contacted(
    shell: Shell, tmp_path: Path, command: str, case: str
) -> None:
    changes, message = BAD_SPECS[case]
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(spec_data(**changes)))
    code, out, err = shell(command, "bad.yaml")
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert err.startswith("pullbench: bad.yaml: ")
    assert "hunter2" not in err


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["run"], "SPEC is missing"),
        (["run", "--frob", "x"], "unknown option --frob"),
        (["frobnicate"], "unknown command 'frobnicate'"),
        (["show", "20260101T000000Z-ffff"], "20260101T000000Z-ffff"),
        (["show", "../../etc/passwd"], "passwd"),
        (["show", "latest"], "no run is stored"),
        (["init"], "--from"),
        (["init", "--from", "nowhere.yaml"], "nowhere.yaml"),
        (
            ["init", "--registry", "https://r.io", "--image", "Bad Image"],
            "--image: 'Bad Image' is not a repository name",
        ),
        (["init", "--registry", "https://r.io", "--image", "other.io/x:1"], "names the host 'other.io'"),
        (["runs", "--results", "sftp://me:hunter2@host/x"], "contains credentials: remove them"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_2(shell: Shell, arguments: list[str], message: str) -> None:
    code, out, err = shell(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("option", ["--only", "--skip"])
def test_a_check_that_there_is_not_is_exit_2_before_anything_is_contacted(
    shell: Shell, tmp_path: Path, option: str
) -> None:
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec_data()))
    code, out, err = shell("preflight", "spec.yaml", option, "netwrok")
    assert (code, out) == (2, "")
    assert "'netwrok'" in err and "'network'" in err


def test_a_bug_is_told_as_one_with_exit_70_and_no_traceback(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> NoReturn:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("pullbench.store.dataset.ResultStore.runs", broken)
    code, _, err = shell("runs")
    assert code == 70
    assert "ZeroDivisionError: oh" in err
    assert "Traceback" not in err


def test_an_interruption_is_exit_3(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr("pullbench.store.dataset.ResultStore.runs", interrupted)
    assert shell("runs")[0] == 3


@pytest.mark.usefixtures("no_network")
def test_an_offline_plan_is_one_json_document(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec_data()))
    code, out, _ = shell("plan", "spec.yaml", "--offline", "--json", "--set", "repetitions=3")
    document = json.loads(out)
    assert code == 0
    assert document["bytes"] is None
    assert len(document["trials"]) == 2 * (1 + 3)
    assert {"cells", "trials", "planned_out", "bytes", "manifest_requests"} <= document.keys()


@pytest.mark.usefixtures("no_network")
def test_a_plan_of_a_stress_test_names_the_command_that_measures_it(shell: Shell) -> None:
    out = shell("plan", "specs/stress.yaml", "--offline")[1]
    assert "`pullbench stress specs/stress.yaml`" in out and "pullbench run" not in out


def test_a_registry_that_cannot_be_reached_takes_one_line_of_a_plan(shell: Shell, tmp_path: Path) -> None:
    images = ["team/one:1", "team/two:1", "team/three:1"]
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec_data(images=images)))
    (line,) = [line for line in shell("plan", "spec.yaml")[1].splitlines() if "[connect_refused]" in line]
    assert line.startswith("3 images at eu: ")
    assert "team/" not in line


@pytest.mark.usefixtures("no_network")
def test_a_plan_says_how_long_a_run_will_take_where_an_earlier_run_shows_it(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec_data()))
    call = ("plan", "spec.yaml", "--offline")
    assert json.loads(shell(*call, "--json")[1])["duration_s"] is None
    assert "`pullbench run spec.yaml`" in shell(*call)[1]
    made = make_plan(make_spec(), offline_facts())
    measured(ResultStore(str(tmp_path / "results")), made, stored())
    duration = json.loads(shell(*call, "--json")[1])["duration_s"]
    assert duration["low"] <= duration["expected"] <= duration["high"]
    assert duration["from"] == "run-1"
    assert "run-1" in shell(*call)[1].splitlines()[-1]


@pytest.mark.usefixtures("no_network")
def test_the_schema_is_printed(shell: Shell) -> None:
    code, out, err = shell("schema")
    assert (code, err) == (0, "")
    assert out == spec_schema()


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion_script(shell: Shell, name: str) -> None:
    code, out, err = shell("completion", name)
    assert (code, err) == (0, "")
    assert "_PULLBENCH_COMPLETE" in out and "pullbench" in out


@pytest.mark.usefixtures("no_network")
def test_the_same_seed_gives_the_same_plan_and_another_seed_another_order(shell: Shell, tmp_path: Path) -> None:
    data = spec_data(matrix={"engines": ["scripted"], "concurrency": [1, 2, 3, 4, 5, 6, 7, 8]})
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(data))
    plans = [shell("plan", "spec.yaml", "--offline", "--json", "--set", f"seed={seed}")[1] for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]
    assert json.loads(plans[0])["cells"] == json.loads(plans[2])["cells"]


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("text", ["name: 2026-99-99\n", "name: !!int x\n", "a: &a [*a]\n"])
def test_yaml_that_names_what_cannot_be_is_exit_2(shell: Shell, tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.yaml").write_text(text)
    for arguments in (["run", "odd.yaml"], ["plan", "odd.yaml"]):
        code, _, err = shell(*arguments)
        assert code == 2, err
        assert err.count("\n") == 1
    assert shell("init", "--from", "odd.yaml")[0] == 2


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"registries": [{"name": "a", "url": "https://r", "password": "hunter2"}]}, "registries[0].password: "),
        ({"matrix": {"concurrency": 1}}, "matrix.concurrency: "),
        ({"repetitions": "abc"}, "repetitions: "),
    ],
)
def test_common_slips_are_told_with_what_would_be_right(
    shell: Shell, tmp_path: Path, changes: dict[str, object], told: str
) -> None:
    (tmp_path / "slip.yaml").write_text(yaml.safe_dump(spec_data(**changes)))
    code, _, err = shell("plan", "slip.yaml", "--offline")
    assert code == 2
    assert told in err
    assert "hunter2" not in err


def test_a_call_without_a_command_shows_the_help_and_no_empty_line_of_ours(shell: Shell) -> None:
    code, out, err = shell()
    assert code == 2 and "Start:" in out + err and "pullbench: " not in err


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_what_help_lists_of_a_command_is_the_first_line_of_its_own_help(name: str) -> None:
    assert cli.LazyCommands.load(name).help.splitlines()[0] == cli.COMMANDS[name].line


def test_every_module_of_a_command_is_listed() -> None:
    modules = {path.stem for path in Path(cli.__file__).parent.glob("*.py") if "\napp = typer." in path.read_text()}
    assert modules - {"main", "serve_cli"} == set(cli.COMMANDS)


def test_a_misspelt_command_is_told_what_it_may_have_been(shell: Shell) -> None:
    code, out, err = shell("compair")
    assert (code, out) == (2, "")
    assert "mean 'compare'" in err
