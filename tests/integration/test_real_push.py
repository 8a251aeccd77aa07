"""`pullbench images push` to a real docker-registry, seen in its access log and its storage, and pulled from there."""

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import httpx
import pyarrow.parquet as pq
import pytest

from benchmarks.debian_images import DebianImages
from tests.integration.conftest import PushImage, missing, need
from tests.integration.real_registry import PASSWORD, USERNAME, RealRegistry, start_registry
from tests.integration.shell import Done, Shell

pytestmark = [pytest.mark.integration, pytest.mark.real]

SMALL = ("--size", "4MB", "--count", "2", "--layers", "4", "--share", "0.5")
SMALL += ("--platform", "linux/amd64", "--platform", "linux/arm64")
IMAGES = [f"pullbench/realistic-{number}" for number in (1, 2)]
ENVIRON = {"REG_USERNAME": USERNAME, "REG_PASSWORD": PASSWORD}
_CHANGES = re.compile(r'"(POST|PUT|PATCH) (\S+) HTTP/1.1" (\d+)')


@dataclass(frozen=True, kw_only=True)
class Target:
    """A registry, what the shell needs to push to it, and where it writes."""

    registry: RealRegistry
    folder: Path

    def push(self, shell: Shell, *arguments: str) -> Done:
        options = ["--credentials", "env:REG" if self.registry.username else "anonymous"]
        options += ["--ca-file", str(self.registry.ca_file)] if self.registry.ca_file else []
        return shell.run("images", "push", self.registry.url, *options, *arguments, **ENVIRON)

    def changes(self) -> list[str]:
        """What the access log says was asked with POST, PUT or PATCH and granted, such as `PUT /v2/…`."""
        found = _CHANGES.findall((self.folder / "log").read_text())
        return [f"{method} {path}" for method, path, status in found if status.startswith("2")]


StartTarget = Callable[..., Target]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartTarget]:
    """Starts registries that write an access log."""
    need("docker-registry")
    started: list[Target] = []

    def start_one(folder: Path | None = None, **options: Any) -> Target:
        chosen = folder or tmp_path / f"registry-{len(started)}"
        changes = {"log": {"level": "error", "accesslog": {"disabled": False}}, **options.pop("changes", {})}
        started.append(Target(registry=start_registry(chosen, changes=changes, **options), folder=chosen))
        return started[-1]

    yield start_one
    for target in started:
        target.registry.stop()
        shutil.rmtree(target.folder / "data", ignore_errors=True)


def manifest_at(client: httpx.Client, repository: str, name: str) -> dict[str, Any]:
    accepted = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"
    answer = client.get(f"/v2/{repository}/manifests/{name}", headers={"Accept": accepted})
    return dict(answer.raise_for_status().json())


@pytest.mark.parametrize("options", [{}, {"htpasswd": True}, {"tls": True}], ids=["plain", "htpasswd", "tls"])
def test_a_workload_is_pushed_once_and_a_second_push_uploads_nothing(
    shell: Shell, start: StartTarget, options: dict[str, bool]
) -> None:
    target = start(**options)
    first = target.push(shell, *SMALL, "--json", "--spec-out", "spec.yaml")
    assert first.code == 0, first.err
    document = first.document
    assert [entry["outcome"] for entry in document["images"]] == ["pushed", "pushed"]
    granted = target.changes()
    finished = [line for line in granted if line.startswith("PUT") and "/blobs/uploads/" in line]
    assert len(finished) == document["blobs_sent"]
    mounted = [line for line in granted if line.startswith("POST") and "mount=" in line]
    assert len(mounted) == document["blobs_mounted"] > 0

    second = target.push(shell, *SMALL, "--json")
    assert second.code == 0, second.err
    assert target.changes() == granted
    assert [entry["outcome"] for entry in second.document["images"]] == ["there", "there"]
    assert "nothing was pushed" in second.err and "all 2 images" in second.err
    assert PASSWORD not in first.err + first.out + (shell.folder / "spec.yaml").read_text()


def test_the_docker_engine_unpacks_what_was_pushed(shell: Shell, start: StartTarget, docker_host: str) -> None:
    target = start()
    assert target.push(shell, *SMALL).code == 0
    api = docker.APIClient(base_url=docker_host)
    with target.registry.client() as client:
        for repository in IMAGES:
            index = manifest_at(client, repository, "seed-1")
            for entry in index["manifests"]:
                manifest = manifest_at(client, repository, entry["digest"])
                config = client.get(f"/v2/{repository}/blobs/{manifest['config']['digest']}").json()
                platform = f"{entry['platform']['os']}/{entry['platform']['architecture']}"
                name = f"{target.registry.host}/{repository}:seed-1"
                try:
                    api.pull(name, platform=platform)
                    found = api.inspect_image(name)
                finally:
                    api.remove_image(name, force=True)
                assert found["Id"] == manifest["config"]["digest"]
                assert found["RootFS"]["Layers"] == config["rootfs"]["diff_ids"]
                assert len(manifest["layers"]) == len(config["rootfs"]["diff_ids"]) > 0
                assert f"{found['Os']}/{found['Architecture']}" == platform
    api.close()


def test_the_spec_that_comes_with_a_push_measures_it_by_wire_and_docker(
    shell: Shell, start: StartTarget, docker_host: str
) -> None:
    target = start(htpasswd=True)
    assert target.push(shell, *SMALL[:-2], "--spec-out", "spec.yaml").code == 0
    sets = ["matrix.engines=[wire,docker]", "matrix.concurrency=[1]", "repetitions=1", "warmup=0"]
    options = [option for one in sets for option in ("--set", one)]
    done = shell.run("run", "spec.yaml", *options, "--no-report", "--json", **ENVIRON, DOCKER_HOST=docker_host)
    assert done.code in (0, 1), done.err  # an SLO of five pulls may be missed
    assert {cell["engine"]: cell["succeeded"] for cell in done.document["cells"]} == {"wire": 2, "docker": 2}
    with target.registry.client() as client:
        manifests = {f"{repository}:seed-1": manifest_at(client, repository, "seed-1") for repository in IMAGES}
    for pull in pq.read_table(shell.folder / "results" / "pulls").to_pylist():
        manifest = manifests[pull["image"]]
        blobs = [manifest["config"], *manifest["layers"]]
        assert pull["layers"] == len(blobs) - 1
        if pull["engine"] == "wire":  # docker fetches once what the two images share
            assert pull["bytes"] == sum(blob["size"] for blob in blobs)


def test_an_image_that_somebody_else_pushed_is_left_alone(
    shell: Shell,
    start: StartTarget,
    push_image: PushImage,
    fresh: Callable[[], str],
) -> None:
    target = start()
    digest = push_image(target.registry, IMAGES[1], "v1", DebianImages.small(fresh()))
    before = target.changes()
    done = target.push(shell, *SMALL, "--tag", "v1", "--replace")
    assert done.code == 2
    assert f"{IMAGES[1]}:v1 is not" in done.err
    assert target.changes() == before
    with target.registry.client() as client:
        head = client.head(
            f"/v2/{IMAGES[1]}/manifests/v1", headers={"Accept": "application/vnd.oci.image.index.v1+json"}
        )
    assert head.headers["Docker-Content-Digest"] == digest


def test_another_seed_replaces_a_tag_only_when_asked(shell: Shell, start: StartTarget) -> None:
    target = start()
    assert target.push(shell, *SMALL, "--tag", "v1").code == 0
    refused = target.push(shell, *SMALL, "--tag", "v1", "--seed", "2")
    assert (refused.code, "--replace" in refused.err) == (2, True)
    assert target.push(shell, *SMALL, "--tag", "v1", "--seed", "2", "--replace").code == 0


def test_a_read_only_registry_and_a_mirror_say_that_they_take_no_pushes(shell: Shell, start: StartTarget) -> None:
    read_only = start()
    storage = {
        "filesystem": {"rootdirectory": str(read_only.folder / "data")},
        "maintenance": {"readonly": {"enabled": True}},
    }
    for changes in ({"storage": storage}, {"proxy": {"remoteurl": read_only.registry.url}}):
        done = start(changes=changes).push(shell, *SMALL)
        assert done.code == 1
        assert ": 405 " in done.err
        assert "(read-only, or a mirror)" in done.err
        assert len(done.err.splitlines()) == 2


@pytest.mark.parametrize("credentials", ["anonymous", "env:REG"])
def test_no_password_or_a_wrong_one_is_unauthorized(shell: Shell, start: StartTarget, credentials: str) -> None:
    target = start(htpasswd=True)
    wrong = {**ENVIRON, "REG_PASSWORD": "planted-wrong-password"}
    done = shell.run("images", "push", target.registry.url, "--credentials", credentials, *SMALL, **wrong)
    assert done.code == 1
    assert ": 401" in done.err
    assert "log in as a user who may push" in done.err
    assert "planted-wrong-password" not in done.err


def test_a_full_disk_at_the_registry_is_said_and_the_push_goes_on_when_there_is_space(
    shell: Shell, start: StartTarget, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(disk)], capture_output=True).returncode:
        missing("no small file system can be mounted here")
    try:
        target = start(disk / "registry")
        full = target.push(shell, *SMALL, "--workers", "1")
        assert full.code == 3
        assert "the registry's disk is full: free space there" in full.err
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        again = target.push(shell, *SMALL, "--json")
        assert again.code == 0, again.err
        assert again.document["blobs_there"] > 0
        target.registry.stop()
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_an_interrupted_push_ends_at_once_and_says_how_to_go_on(shell: Shell, start: StartTarget) -> None:
    target = start()
    options = ("--preset", "spegel", "--layers", "1", "--credentials", "anonymous")
    process = shell.start("images", "push", target.registry.url, *options)  # 2 GB, if it were let
    until = time.monotonic() + 60
    while not list(target.folder.glob("data/**/_uploads")):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (3, "")
    assert re.search(r"interrupted; \d of 6 images were pushed and stay; the same command continues", err), err
