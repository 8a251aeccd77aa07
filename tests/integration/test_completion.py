"""Tab in a real bash: commands, options, stored runs and files."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration]

TAB = """
eval "$(pullbench completion bash)"
COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); COMPREPLY=()
_pullbench_completion pullbench
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one stored run, and `pullbench` on the path."""
    (tmp_path / "results" / "runs" / "20261123T161500Z-3fa2").mkdir(parents=True)
    program = tmp_path / "bin" / "pullbench"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m pullbench "$@"\n')
    program.chmod(0o755)
    return tmp_path


def tab(folder: Path, *words: str) -> list[str]:
    """What bash offers for the last word."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [bash, "--norc", "-c", TAB, "tab", *words],
        cwd=folder,
        env={"PATH": f"{folder / 'bin'}:/usr/bin:/bin", "PYTHONPATH": root, "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_options_and_runs(folder: Path) -> None:
    assert tab(folder, "pullbench", "comp") == ["compare", "completion"]
    assert tab(folder, "pullbench", "run", "--res") == ["--results", "--resume"]
    assert tab(folder, "pullbench", "runs", "") == ["prune"]
    assert tab(folder, "pullbench", "show", "2026") == ["20261123T161500Z-3fa2"]


def test_where_nothing_is_known_bash_completes_files_itself(folder: Path) -> None:
    assert tab(folder, "pullbench", "run", "pull") == []
    assert tab(folder, "pullbench", "frobnicate", "x") == []
