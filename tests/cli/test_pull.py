"""`pullbench pull`: an image becomes a spec, with Docker's defaults and the engines that can pull here."""

import json
from pathlib import Path

import pytest

from pullbench.bench import first_spec
from pullbench.bench.workbench import Workbench
from pullbench.cli.pull import pull, spec_of_image
from pullbench.errors import ErrorCode, RegistryError, UsageError
from pullbench.model.facts import Facts
from pullbench.store.dataset import ResultStore
from tests.bench.samples import facts_for


def made(ref: str, **changes: object) -> dict[str, object]:
    """The spec of an image, as data."""
    options = {"engines": ["wire"], "repetitions": 5, "concurrency": 1, "platform": None, **changes}
    loaded = spec_of_image(ref, **options)  # type: ignore[arg-type]
    return loaded.spec.model_dump(mode="json")


@pytest.mark.parametrize(
    ("ref", "url", "image", "registry", "name"),
    [
        ("nginx", "https://registry-1.docker.io", "library/nginx:latest", "docker-hub", "pull-nginx"),
        (
            "docker.io/library/nginx:1.27",
            "https://registry-1.docker.io",
            "library/nginx:1.27",
            "docker-hub",
            "pull-nginx",
        ),
        ("ghcr.io/team/app:1.4", "https://ghcr.io", "team/app:1.4", "ghcr.io", "pull-ghcr.io-team-app"),
        ("localhost:5000/app:1", "http://localhost:5000", "app:1", "localhost-5000", "pull-localhost-5000-app"),
        ("http://10.0.0.7:5000/app:1", "http://10.0.0.7:5000", "app:1", "10.0.0.7-5000", "pull-10.0.0.7-5000-app"),
        (
            "https://localhost:5000/app:1",
            "https://localhost:5000",
            "app:1",
            "localhost-5000",
            "pull-localhost-5000-app",
        ),
        ("r.io/a@sha256:" + 64 * "0", "https://r.io", "a@sha256:" + 64 * "0", "r.io", "pull-r.io-a"),
    ],
)
def test_an_image_is_read_as_docker_reads_it(ref: str, url: str, image: str, registry: str, name: str) -> None:
    spec = made(ref)
    assert spec["images"] == [image]
    assert spec["name"] == name
    [entry] = spec["registries"]  # type: ignore[misc]
    assert (entry["url"], entry["name"], entry["credentials"]) == (url, registry, "docker")  # type: ignore[has-type]


def test_options_become_factors() -> None:
    spec = made("nginx", engines=["skopeo", "wire"], repetitions=7, concurrency=4, platform="linux/arm64")
    matrix = spec["matrix"]
    assert isinstance(matrix, dict)
    assert (matrix["engines"], matrix["concurrency"], matrix["platforms"]) == (["skopeo", "wire"], [4], ["linux/arm64"])
    assert spec["repetitions"] == 7


def test_a_concurrency_is_for_engines_without_a_local_store(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"--concurrency 4: docker .*--engine wire"):
        made("nginx", engines=["docker", "wire"], concurrency=4)
    monkeypatch.setattr("pullbench.bench.first_spec.docker_answers", lambda: True)
    matrix = made("nginx", engines=None, concurrency=4)["matrix"]
    assert matrix["engines"] == ["wire"]  # type: ignore[index]


@pytest.mark.parametrize(("answers", "engines"), [(True, ["docker", "wire"]), (False, ["wire"])])
def test_docker_pulls_too_where_a_daemon_answers(
    monkeypatch: pytest.MonkeyPatch, answers: bool, engines: list[str]
) -> None:
    def version(_: object) -> str:
        if not answers:
            raise RegistryError(ErrorCode.ENGINE_UNAVAILABLE, "docker", "no answer")
        return "28.0"

    monkeypatch.setattr("pullbench.daemon.docker.DockerDaemon.version", version)
    matrix = made("nginx", engines=None)["matrix"]
    assert isinstance(matrix, dict) and matrix["engines"] == engines


def test_a_daemon_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object, **__: object) -> bool:
        raise TimeoutError

    monkeypatch.setattr(first_spec, "with_timeout", silent)
    assert first_spec.usual_engines() == ["wire"]


def test_a_platform_that_cannot_be_is_a_wrong_call() -> None:
    with pytest.raises(UsageError, match="--platform: 'amd64'"):
        made("nginx", platform="amd64")


def test_a_pull_is_stored_and_prints_one_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gather(bench: Workbench, *_: object) -> Facts:
        return facts_for(bench.spec)

    monkeypatch.setattr(Workbench, "gather", gather)
    monkeypatch.setattr(Workbench, "preflight", lambda *_, **__: [])
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")  # a one-liner starts no flow
    results = str(tmp_path / "results")
    assert pull("r.example.com/app:1", engine="fake", repetitions=2, results=results, as_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    [stored] = ResultStore(results).runs()
    assert (stored.run_id, stored.name, stored.status) == (document["run_id"], "pull-r.example.com-app", "complete")
    assert stored.labels == {"image": "r.example.com/app:1"}
    assert document["report"] is None


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("registry.eu.example.com", "eu-example"),
        ("registry.example.com:5000", "example"),
        ("ghcr.io", "ghcr"),
        ("harbor.acme.io", "harbor-acme"),
        ("registry-1.docker.io", "docker-hub"),
        ("localhost:5000", "local"),
        ("127.0.0.1:5917", "local"),
        ("[::1]:5000", "local"),
        ("10.0.0.7:5000", "registry"),
        ("registry", "registry"),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "ecr-eu-west-1"),
        ("a-very-long-name.of-a-department.of-a-company.example.com", "a-very-long-name-of-a-departme"),
    ],
)
def test_a_registry_is_named_after_its_host(host: str, name: str) -> None:
    assert first_spec.name_of_host(host) == name
