"""A command whose optional package is not installed says which extra brings it, with exit code 2."""

import subprocess
import sys
from pathlib import Path

import pytest

_RUN = """
import sys
sys.modules[sys.argv.pop(1)] = None
from pullbench.cli.main import main
main()
"""


@pytest.mark.parametrize(
    ("package", "extra", "arguments"),
    [
        ("prometheus_client", "metrics", ["metrics", "textfile", "-"]),
        ("prometheus_client", "metrics", ["metrics", "serve"]),
        ("prometheus_client", "metrics", ["metrics", "push", "http://127.0.0.1:9"]),
        ("distributed", "fleet", ["fleet", "specs/fleet.yaml", "--scheduler", "tcp://127.0.0.1:9"]),
        ("s3fs", "s3", ["runs", "--results", "s3://bucket/results"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_without_its_extra_names_it(package: str, extra: str, arguments: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", _RUN, package, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=120)
    assert done.returncode == 2, done.stderr
    assert done.stderr.endswith(f": pip install 'pullbench[{extra}]'\n")
    assert len(done.stderr.splitlines()) == 1
