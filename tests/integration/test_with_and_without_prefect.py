"""A run needs no Prefect; with `--prefect`, or where a server is named, it goes through the flow."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pullbench.lab.embedded import EmbeddedLab
from tests.integration.ports import free_port
from tests.integration.shell import Shell

pytestmark = [pytest.mark.integration]


@pytest.fixture
def shell(lab: EmbeddedLab, tmp_path: Path) -> Shell:
    """A folder with a spec of one small image, and no Prefect server in the environment."""
    data = lab.spec(True)
    data["images"], data["repetitions"], data["warmup"] = data["images"][:1], 1, 0
    data["matrix"] = {"platforms": data["matrix"]["platforms"][:1]}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(data))
    found = Shell(tmp_path, {"PREFECT_HOME": str(tmp_path / "prefect")})
    found.environment.pop("PREFECT_API_URL", None)
    return found


def test_a_run_to_its_report_imports_no_prefect(shell: Shell) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "pullbench", "run", "spec.yaml"]
    done = subprocess.run(
        command, cwd=shell.folder, env=shell.environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode in (0, 1), done.stderr[-2000:]
    imported = set(re.findall(r"\|\s+(\w+)(?:\.\w+)*$", done.stderr, re.MULTILINE))
    assert {"pullbench", "pandas"} <= imported, "the interpreter says what it imports"
    assert "prefect" not in imported
    assert not (shell.folder / "prefect").exists(), "nothing of Prefect was started either"
    assert list((shell.folder / "reports").glob("*/index.html"))


def test_with_prefect_the_run_is_a_flow_run_of_prefects_own_server(shell: Shell) -> None:
    """A proxy of the environment does not stand between the command and that server."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    names = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    shell.environment.update(dict.fromkeys(names, nowhere))
    shell.environment.pop("no_proxy", None)
    done = shell.run("run", "spec.yaml", "--prefect", "--no-report", "--json", NO_PROXY="internal.example")
    assert done.code in (0, 1), done.err
    assert done.document["status"] == "complete"
    assert (shell.folder / "prefect" / "prefect.db").is_file(), "Prefect's server kept the flow run"
    assert "temporary server" in done.err


def test_a_named_server_that_does_not_answer_is_said_in_one_line_and_is_no_bug(shell: Shell) -> None:
    api = f"http://127.0.0.1:{free_port()}/api"
    done = shell.run("run", "spec.yaml", "--no-report", PREFECT_API_URL=api)
    assert done.code == 3
    said = done.err.strip().splitlines()[-1]
    assert said.startswith(f"pullbench: {api} does not answer: ")
    assert "`pullbench serve`" in said and "PREFECT_API_URL" in said
