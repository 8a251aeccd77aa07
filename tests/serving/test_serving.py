"""What `pullbench serve` decides before and beside a running server."""

import ipaddress
import itertools
import shutil
import socket
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from pullbench.app.project import ProjectTarget, write_project
from pullbench.errors import UsageError
from pullbench.report.site.build import build_site
from pullbench.serving import project as projects
from pullbench.serving.logs import last_words, log_file
from pullbench.serving.placeholder import why_it_waits
from pullbench.serving.project import find_project
from pullbench.serving.provision import Provision
from pullbench.serving.reports_home import ReportsHome
from pullbench.serving.reports_server import ReportsServer
from pullbench.serving.serve import database_url, serve
from pullbench.store.dataset import ResultStore
from tests.cli.command_lines import parsed
from tests.report import synthetic
from tests.report.synthetic import Recipe

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
    with pytest.raises(UsageError, match=r"file/reports: .*--project"):
        ReportsServer(tmp_path / "file" / "reports", "127.0.0.1", 0, lambda: None)


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
        with pytest.raises(UsageError, match=rf"--port {port}: .*--port"):
            serve(
                project=project, host="127.0.0.1", port=port, reports_port=0, database=None, pools=["local"], note=print
            )
        with pytest.raises(UsageError, match=rf"--reports-port {port}: "):
            ReportsServer(project, "127.0.0.1", port, lambda: None)


def test_reports_are_served_as_they_are_and_are_never_kept_by_a_browser(tmp_path: Path) -> None:
    (tmp_path / "reports" / "run").mkdir(parents=True)
    (tmp_path / "reports" / "run" / "index.html").write_text("<p>the report</p>")
    (tmp_path / "secret").write_text("x")
    with ReportsServer(tmp_path / "reports", "127.0.0.1", 0, lambda: None) as server:
        base = f"http://127.0.0.1:{server.port}"
        with urllib.request.urlopen(f"{base}/run/index.html") as answer:
            assert answer.read() == b"<p>the report</p>"
            assert answer.headers["Cache-Control"] == "no-cache"
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            urllib.request.urlopen(f"{base}/../secret")
        refused.value.close()


def test_the_home_page_is_built_when_it_is_asked_for_and_a_directory_is_never_listed(tmp_path: Path) -> None:
    """Also before there is any run, and for a directory whose report is not rendered yet."""
    results, reports = tmp_path / "results", tmp_path / "reports"
    (reports / "half-made").mkdir(parents=True)
    home = ReportsHome(str(results), reports, clock=itertools.count(0, 10).__next__)
    with ReportsServer(reports, "127.0.0.1", 0, home.refresh) as server:
        for address in ("/", "/index.html?x=1", "/half-made/"):
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{address}") as answer:
                assert b"<h1>Reports</h1>" in answer.read()
        synthetic.make(str(results), Recipe(engines=("wire",), blocks=1, warmup=0, pulls=1))
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/") as answer:
            assert synthetic.RUN_ID.encode() in answer.read(), "a run that was stored meanwhile"


def test_the_home_page_leaves_a_published_feed_its_address(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path / "results"))
    build_site(store, tmp_path / "reports", url="https://reports.example.com")
    assert ReportsHome(str(tmp_path / "results"), tmp_path / "reports").refresh() is None
    assert "https://reports.example.com/feed.xml" in (tmp_path / "reports" / "feed.xml").read_text()


@pytest.mark.parametrize(
    ("given", "served"), [(None, "reports"), ("pages/of runs", "pages/of runs"), ("/srv/r", "/srv/r")]
)
def test_the_reports_that_are_served_are_those_that_the_benchmarks_write(
    project: Path, given: str | None, served: str
) -> None:
    document = yaml.safe_load((project / "prefect.yaml").read_text())
    benchmark = next(entry for entry in document["deployments"] if entry["name"] == "pull-benchmark")
    if given is not None:
        benchmark["parameters"]["reports"] = given
    (project / "prefect.yaml").write_text(yaml.safe_dump(document))
    assert find_project(project).reports == project.resolve() / served


def test_a_home_page_that_cannot_be_built_says_why(tmp_path: Path) -> None:
    with ReportsServer(tmp_path, "127.0.0.1", 0, lambda: "OSError: <disk>") as server:
        with pytest.raises(urllib.error.HTTPError, match="503") as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{server.port}/")
        with refused.value as answer:
            assert b"OSError: &lt;disk&gt;" in answer.read()


def test_a_spec_of_the_example_registry_is_not_measured_on_a_schedule(tmp_path: Path) -> None:
    spec = yaml.safe_load((ROOT / "specs" / "first.yaml").read_text())
    (tmp_path / "specs").mkdir()
    waits = {}
    for url in ("http://127.0.0.1:5000", "https://registry.example.com:5000", "https://registry.internal"):
        spec["registries"][0]["url"] = url
        (tmp_path / "specs" / "mine.yaml").write_text(yaml.safe_dump(spec))
        waits[url] = why_it_waits("specs/mine.yaml", tmp_path) is not None
    assert list(waits.values()) == [True, True, False]
    assert why_it_waits("specs/stress.yaml", tmp_path), "the ready spec, where there is no own"
    assert "specs/none.yaml" in (why_it_waits("specs/none.yaml", tmp_path) or "")


def test_a_stress_test_waits_for_a_person_even_where_its_spec_names_a_registry(tmp_path: Path) -> None:
    write_project(
        tmp_path / "p", ProjectTarget(url="https://registry.internal", credentials="docker", images=["a/b:1"])
    )
    waits = {name: why_it_waits(f"specs/{name}.yaml", tmp_path / "p") is not None for name in ("first", "stress")}
    assert waits == {"first": False, "stress": True}


class SchedulesServer:
    """The part of Prefect's client that a deployment's schedules need."""

    def __init__(self, *there: str) -> None:
        schedule = SimpleNamespace(slug="weekly", active=False, schedule=None)
        self.deployments = [SimpleNamespace(name=name, schedules=[schedule], paused=False) for name in there]
        self.variables: dict[str, str] = {}

    def read_deployments(self) -> list[SimpleNamespace]:
        return self.deployments

    def read_variable_by_name(self, name: str) -> SimpleNamespace | None:
        return SimpleNamespace(value=self.variables[name]) if name in self.variables else None


def switches(project: Path, server: SchedulesServer) -> list[bool | None]:
    """What is deployed as `active` of pull-benchmark's schedule; None leaves the switch on the server as it is."""
    provision = Provision(server, find_project(project), [])  # type: ignore[arg-type]
    there = {entry.name: {one.slug for one in entry.schedules} for entry in server.deployments}
    document, switched_on = provision._with_schedules(there)
    server.variables["pullbench_schedules_switched_on"] = ",".join(switched_on)
    entry = next(entry for entry in document["deployments"] if entry["name"] == "pull-benchmark")
    return [schedule.get("active") for schedule in entry["schedules"]]


def test_a_schedule_is_switched_on_once_when_its_spec_names_another_registry(project: Path) -> None:
    server = SchedulesServer("pull-benchmark")
    assert switches(project, SchedulesServer()) == [False], "it is new, and its spec is the ready one"
    assert switches(project, server) == [None]
    assert Provision(server, find_project(project), []).schedules() != []  # type: ignore[arg-type]
    (project / "specs").mkdir()
    text = (ROOT / "specs" / "first.yaml").read_text().replace("http://127.0.0.1:5000", "https://registry.internal")
    (project / "specs" / "first.yaml").write_text(text)
    assert switches(project, server) == [True]
    assert switches(project, server) == [None], "whoever switches it off in the UI is not overruled"


def test_the_former_log_is_kept_and_the_last_line_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    assert last_words("server").endswith(f"({tmp_path}/pullbench/server.log)")
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
