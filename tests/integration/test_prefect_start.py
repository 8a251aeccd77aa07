"""How a command finds its Prefect server, or says that it cannot."""

from pathlib import Path

import pytest
import yaml

from pullbench.lab.embedded import EmbeddedLab
from tests.integration.ports import free_port
from tests.integration.shell import Shell

pytestmark = [pytest.mark.integration]


def write_spec(lab: EmbeddedLab, folder: Path) -> None:
    data = lab.spec(True)
    data["images"], data["repetitions"], data["warmup"] = data["images"][:1], 1, 0
    data["matrix"] = {"platforms": data["matrix"]["platforms"][:1]}
    (folder / "spec.yaml").write_text(yaml.safe_dump(data))


def test_a_proxy_of_the_environment_does_not_stand_between_a_command_and_its_own_server(
    lab: EmbeddedLab, tmp_path: Path
) -> None:
    write_spec(lab, tmp_path)
    nowhere = f"http://127.0.0.1:{free_port()}"
    names = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    shell = Shell(tmp_path, {"PREFECT_HOME": str(tmp_path / "prefect"), **dict.fromkeys(names, nowhere)})
    for name in ("PREFECT_API_URL", "no_proxy"):
        shell.environment.pop(name, None)
    done = shell.run("run", "spec.yaml", "--no-report", "--json", NO_PROXY="internal.example")
    assert done.code in (0, 1), done.err
    assert done.document["status"] == "complete"


def test_a_named_server_that_does_not_answer_is_said_in_one_line_and_is_no_bug(
    lab: EmbeddedLab, tmp_path: Path
) -> None:
    write_spec(lab, tmp_path)
    api = f"http://127.0.0.1:{free_port()}/api"
    shell = Shell(tmp_path, {"PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_API_URL": api})
    done = shell.run("run", "spec.yaml", "--no-report")
    assert done.code == 3
    said = done.err.strip().splitlines()[-1]
    assert said.startswith(f"pullbench: Prefect did not start: {api} does not answer: ")
    assert "start it (`pullbench serve`), or unset PREFECT_API_URL" in said
