"""Real components for integration tests: a Docker daemon, registries, and Debian images.

With PULLBENCH_REQUIRE_REAL=1 (as CI has it) a component that is missing is a failure, else its tests are skipped.
"""

import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.debian_images import TEST_CACHE, BuiltIndex, DebianImage, DebianImages, push
from pullbench.daemon.docker import DockerDaemon
from pullbench.errors import RegistryError
from pullbench.lab.embedded import EmbeddedLab
from tests.integration.client_record import write_record
from tests.integration.real_registry import RealRegistry, start_registry
from tests.integration.real_squid import RealSquid, running_squid
from tests.integration.shell import PrefectServer, Shell

_DOCKERD_START_S = 60.0


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the record of the clients that were tried, where PULLBENCH_CLIENT_RECORD names its file."""
    if file := os.environ.get("PULLBENCH_CLIENT_RECORD"):
        reports = [
            report
            for kind in ("passed", "failed", "skipped", "error")
            for report in terminalreporter.stats.get(kind, ())
        ]
        write_record(Path(file), reports)


StartRegistry = Callable[..., RealRegistry]
PushImage = Callable[[RealRegistry, str, str, DebianImage | BuiltIndex], str]


def missing(reason: str) -> None:
    """Skip the test for what this machine lacks; in CI, where all is installed, fail it."""
    if os.environ.get("PULLBENCH_REQUIRE_REAL") == "1":
        pytest.fail(f"PULLBENCH_REQUIRE_REAL=1, and {reason}")
    pytest.skip(reason)


def need(program: str) -> str:
    """The path of a program that the test needs; administrators' folders are looked into too."""
    path = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin")
    if path is None:
        missing(f"{program} is not installed")
    assert path is not None
    return path


@pytest.fixture(scope="session")
def docker_host() -> Iterator[str]:
    """The address of a Docker daemon: the machine's, else one that is started for the tests and ended after them."""
    machines = DockerDaemon()
    if _answers(machines):
        yield machines.host
        return
    program = need("dockerd")
    if os.geteuid() != 0:
        missing("no Docker daemon answers, and only root can start one")
    folder = Path(tempfile.mkdtemp(prefix="pullbench-dockerd-"))
    host = f"unix://{folder}/docker.sock"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(_dockerd_command(program, folder, host), stdout=log, stderr=subprocess.STDOUT)
    try:
        daemon, until = DockerDaemon(host), time.monotonic() + _DOCKERD_START_S
        while not _answers(daemon):
            if process.poll() is not None or time.monotonic() > until:
                missing(f"dockerd does not start: {(folder / 'log').read_text()[-500:]}")
            time.sleep(0.2)
        yield host
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _answers(daemon: DockerDaemon) -> bool:
    try:
        daemon.version()
    except RegistryError:
        return False
    finally:
        daemon.close()
    return True


def _dockerd_command(program: str, folder: Path, host: str) -> list[str]:
    paths = {"data-root": folder / "data", "exec-root": folder / "exec", "pidfile": folder / "pid"}
    options = [f"--{name}={path}" for name, path in paths.items()]
    return [program, f"--host={host}", "--bridge=none", "--iptables=false", *options]


@pytest.fixture
def docker_daemon(docker_host: str) -> Iterator[DockerDaemon]:
    daemon = DockerDaemon(docker_host)
    yield daemon
    daemon.close()


@pytest.fixture(scope="session")
def docker_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartRegistry]:
    """Starts real registries: `docker_registry()`, `docker_registry(htpasswd=True)`, as `start_registry` takes it."""
    need("docker-registry")
    started: list[RealRegistry] = []

    def start(**options: Any) -> RealRegistry:
        registry = start_registry(tmp_path_factory.mktemp("registry"), **options)
        started.append(registry)
        return registry

    yield start
    for registry in started:
        registry.stop()


@pytest.fixture(scope="session")
def plain_registry(docker_registry: StartRegistry) -> RealRegistry:
    """One registry for the session, without TLS or password; every test pushes to repositories of its own."""
    return docker_registry()


@pytest.fixture(scope="session")
def squid() -> Iterator[RealSquid]:
    """One forward proxy for the session; every test looks in its log for repositories of its own."""
    with running_squid(need("squid")) as running:
        yield running


@pytest.fixture(scope="session")
def push_image() -> PushImage:
    """`push_image(registry, repository, tag, image)` uploads over the API and gives the digest behind the tag."""

    def push_it(registry: RealRegistry, repository: str, tag: str, image: DebianImage | BuiltIndex) -> str:
        with registry.client() as client:
            return push(client, repository, tag, image)

    return push_it


@pytest.fixture(scope="session")
def debian_image() -> Callable[[str], BuiltIndex]:
    """`debian_image(marker)`: a real Debian of three layers that shares no blob with another marker's.

    Made once by debootstrap, and kept under PULLBENCH_TEST_CACHE or ~/.cache/pullbench-tests.
    """
    need("debootstrap")
    images = DebianImages(TEST_CACHE)

    def make(marker: str) -> BuiltIndex:
        try:
            return images.image(marker)
        except RuntimeError as error:
            missing(str(error))
            raise

    return make


@pytest.fixture
def fresh() -> Callable[[], str]:
    """Words that no other test or run has used: for markers and repositories, so that nothing is there already."""
    counter = itertools.count()
    word = os.urandom(4).hex()
    return lambda: f"{word}-{next(counter)}"


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """One Prefect server for the session: runs against it start in a second or two."""
    server = PrefectServer(tmp_path_factory.mktemp("prefect"))
    yield server
    server.stop()


@pytest.fixture
def shell(prefect_server: PrefectServer, tmp_path: Path) -> Shell:
    """`pullbench` in a folder of the test's own, against the session's Prefect server."""
    return Shell(tmp_path, {**prefect_server.environment, "DOCKER_CONFIG": str(tmp_path / "no-docker-config")})


@pytest.fixture(scope="session")
def lab() -> Iterator[EmbeddedLab]:
    """The embedded lab."""
    with EmbeddedLab.start() as world:
        yield world
