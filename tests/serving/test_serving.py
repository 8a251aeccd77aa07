"""What `pullbench serve` decides before and beside a running server."""

import ipaddress
import shutil
import socket
import urllib.request
from pathlib import Path

import pytest
import yaml

from pullbench.errors import UsageError
from pullbench.serving import project as projects
from pullbench.serving.logs import last_words, log_file
from pullbench.serving.project import find_project
from pullbench.serving.reports_server import ReportsServer
from pullbench.serving.serve import database_url, serve
from tests.cli.command_lines import parsed

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "flows").mkdir(parents=True)
    shutil.copy(ROOT / "prefect.yaml", folder)
    (folder / "flows" / "pull_benchmark.py").write_text("ONE = 1\n")
    return folder


def test_the_current_folder_is_served_where_it_is_a_project_and_else_the_checkout_of_the_code(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    assert find_project(None).folder == project.resolve()
    monkeypatch.chdir(tmp_path)
    assert find_project(None).folder == find_project(None).working_folder == ROOT
    with pytest.raises(UsageError, match=r"no prefect\.yaml in .*--project"):
        find_project(tmp_path)


def test_the_template_is_served_from_the_current_folder_with_entry_points_that_are_found_from_there(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(projects, "project_folder", lambda: project)
    monkeypatch.setattr(projects, "TEMPLATE", project)
    found = find_project(None)
    assert (found.folder, found.working_folder) == (project, elsewhere)
    entry_points = [Path(entry["entrypoint"].partition(":")[0]) for entry in found.to_deploy()["deployments"]]
    assert project / "flows" / "pull_benchmark.py" in entry_points
    assert all(path.is_relative_to(project) for path in entry_points)
    assert found.to_deploy()["pull"] == yaml.safe_load((ROOT / "prefect.yaml").read_text())["pull"]


def test_a_project_of_ones_own_is_deployed_as_its_prefect_yaml_says(project: Path) -> None:
    assert find_project(project).to_deploy() == yaml.safe_load((project / "prefect.yaml").read_text())


def test_a_folder_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot be made.*--project"):
        ReportsServer(tmp_path / "file" / "reports", "127.0.0.1", 0)


def test_pools_and_queues_are_those_that_the_deployments_name() -> None:
    found = find_project(ROOT)
    assert "local" in found.pools
    assert ("local", "measuring") in found.queues


def test_a_project_is_deployed_again_when_its_deployments_or_its_code_change(project: Path) -> None:
    before = find_project(project).fingerprint()
    assert find_project(project).fingerprint() == before
    (project / "flows" / "pull_benchmark.py").write_text("ONE = 2\n")
    changed = find_project(project).fingerprint()
    (project / "prefect.yaml").write_text((ROOT / "prefect.yaml").read_text() + "\n")
    assert len({before, changed, find_project(project).fingerprint()}) == 3


@pytest.mark.parametrize("text", ["deployments: [{name: x}]", "deployments: 3", "name: [", "- 1"])
def test_a_prefect_yaml_that_cannot_be_used_is_a_usage_error(project: Path, text: str) -> None:
    (project / "prefect.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"every deployment needs name, entrypoint and work_pool\.name"):
        find_project(project)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("postgresql://me:secret@db/prefect", "postgresql+asyncpg://me:secret@db/prefect"),
        ("postgres://db/prefect", "postgresql+asyncpg://db/prefect"),
        ("postgresql+asyncpg://db/prefect", "postgresql+asyncpg://db/prefect"),
        ("sqlite:////var/prefect.db", "sqlite+aiosqlite:////var/prefect.db"),
    ],
)
def test_a_database_is_given_by_its_plain_url(given: str, taken: str) -> None:
    assert database_url(given) == taken


def test_a_database_that_prefect_cannot_use_is_refused_without_repeating_its_password() -> None:
    with pytest.raises(UsageError, match="postgresql://USER@HOST/NAME") as refused:
        database_url("mysql://me:secret@db/prefect")
    assert "secret" not in str(refused.value)


def test_a_taken_port_is_a_usage_error_before_anything_is_started(project: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"--port {port}: .*or give --port"):
            serve(
                project=project, host="127.0.0.1", port=port, reports_port=0, database=None, pools=["local"], note=print
            )
        with pytest.raises(UsageError, match=rf"--reports-port {port}: something listens there already"):
            ReportsServer(project, "127.0.0.1", port)


def test_reports_are_served_as_they_are_and_are_never_kept_by_a_browser(tmp_path: Path) -> None:
    (tmp_path / "reports" / "run").mkdir(parents=True)
    (tmp_path / "reports" / "run" / "index.html").write_text("<p>the report</p>")
    (tmp_path / "secret").write_text("x")
    with ReportsServer(tmp_path / "reports", "127.0.0.1", 0) as server:
        base = f"http://127.0.0.1:{server.port}"
        with urllib.request.urlopen(f"{base}/run/index.html") as answer:
            assert answer.read() == b"<p>the report</p>"
            assert answer.headers["Cache-Control"] == "no-cache"
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            urllib.request.urlopen(f"{base}/../secret")
        refused.value.close()


def test_the_former_log_is_kept_and_the_last_line_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    assert last_words("server").startswith("it said nothing")
    log_file("server").write_text("first\nthe reason\n\n")
    assert last_words("server") == f"the reason ({tmp_path}/pullbench/server.log)"
    assert log_file("server").read_text() == ""
    assert (tmp_path / "pullbench" / "server.log.1").read_text() == "first\nthe reason\n\n"


@pytest.mark.parametrize(
    ("words", "parameter"), [(["serve"], "host"), (["metrics", "serve"], "listen")], ids=["serve", "metrics serve"]
)
@pytest.mark.promise("listening", "`serve` and `metrics serve` listen on loopback unless an address is given")
def test_the_default_addresses_of_what_is_served_are_loopback(words: list[str], parameter: str) -> None:
    _, parameters = parsed(words)
    assert ipaddress.ip_address(parameters[parameter].partition(":")[0]).is_loopback
