"""Checks of disks and daemons, and pruning, on real ones: a full file system, no daemon, a dockerd of the test's own."""

import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from docker.api.client import APIClient

from benchmarks.debian_images import small_image
from pullbench.app.preflight import check, exit_code, verdict
from pullbench.model.finding import Finding, Status
from pullbench.model.platform import Platform
from tests.integration import real_dockerd
from tests.integration.conftest import PushImage, missing
from tests.integration.real_registry import RealRegistry

pytestmark = [pytest.mark.integration, pytest.mark.real]

AMD64 = Platform.parse("linux/amd64")


@pytest.fixture(scope="module")
def own_dockerd() -> Iterator[str]:
    """The address of a dockerd whose images are nobody else's."""
    with real_dockerd.own_dockerd() as daemon:
        yield daemon.host


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB with 8 KiB left."""
    if os.geteuid() != 0:
        missing("only root can mount a file system")
    folder = tmp_path / "full"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], check=True)
    try:
        (folder / "ballast").write_bytes(os.urandom(248 * 1024))
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def image(plain_registry: RealRegistry, push_image: PushImage) -> str:
    """The name of an image of some 20 kB, which nothing packs any smaller."""
    word = os.urandom(4).hex()
    push_image(plain_registry, word, "1", small_image(AMD64, os.urandom(20_000).hex()))
    return f"{word}:1"


def spec_file(folder: Path, registry: RealRegistry, image: str, **more: Any) -> Path:
    document = {
        "name": "client",
        "registries": [{"name": "eu", "url": registry.url, "credentials": "anonymous"}],
        "images": [image],
        **more,
    }
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def checked(path: Path, *only: str) -> dict[tuple[str, str], Finding]:
    found = check(path, only=only, environ={})
    return {(finding.check, finding.target): finding for finding in found.findings}


def test_a_full_small_file_system_fails_before_any_load(
    full_disk: Path, plain_registry: RealRegistry, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = spec_file(
        tmp_path,
        plain_registry,
        image,
        engines=[{"name": "disk", "kind": "wire", "sink": "disk"}],
        matrix={"engines": ["disk"], "platforms": ["linux/amd64"]},
    )
    monkeypatch.setattr(tempfile, "tempdir", str(full_disk))
    found = checked(path, "local-disk")[("local-disk", "engine disk")]
    assert found.status is Status.FAIL
    assert found.observed.startswith(f"[disk_full] {full_disk}: 8.19 kB of 262 kB ")
    assert "TMPDIR=/larger/disk" in found.remedy
    (full_disk / "ballast").unlink()
    assert checked(path, "local-disk")[("local-disk", "engine disk")].status is Status.PASS


def test_a_daemon_that_is_not_there_fails_a_preflight_and_the_other_engines_are_looked_at(
    plain_registry: RealRegistry, image: str, tmp_path: Path
) -> None:
    host = f"unix://{tmp_path}/none.sock"
    path = spec_file(
        tmp_path,
        plain_registry,
        image,
        engines=[{"name": "absent", "kind": "docker", "host": host}],
        matrix={"engines": ["wire", "absent"], "platforms": ["linux/amd64"]},
    )
    found = checked(path, "client", "local-disk")
    daemon = found["docker-daemon", "engine absent"]
    assert daemon.status is Status.FAIL
    assert daemon.observed.startswith(f"[engine_unavailable] docker {host}: ")
    assert f"`docker -H {host} info`" in daemon.remedy
    assert found["local-cache", "engine absent"].status is Status.SKIP
    assert exit_code(verdict(list(found.values()))[0]) == 1


def test_a_daemon_that_is_not_there_is_told_where_it_is_the_only_engine_and_the_registry_is_checked_too(
    plain_registry: RealRegistry, image: str, tmp_path: Path
) -> None:
    changes = {
        "engines": [{"name": "absent", "kind": "docker", "host": f"unix://{tmp_path}/none.sock"}],
        "matrix": {"engines": ["absent"], "platforms": ["linux/amd64"]},
    }
    path = spec_file(tmp_path, plain_registry, image, **changes)
    found = check(path, only=("client", "tcp"), environ={})
    statuses = {(finding.check, finding.target): finding.status for finding in found.findings}
    assert statuses["docker-daemon", "engine absent"] is Status.FAIL
    assert statuses["tcp", "eu"] is Status.PASS
    assert [reason.startswith("engine 'absent': unix://") for reason in found.planned_out] == [True]
    assert found.nothing_left is None, "a failed check says it already"
    registry_only = check(path, only=("tcp",), environ={})
    assert [finding.status for finding in registry_only.findings] == [Status.PASS]
    assert registry_only.nothing_left is not None, "that nothing can be measured is still told"


def test_a_real_daemons_settings_are_read_from_its_command_line_and_file(
    own_dockerd: str, plain_registry: RealRegistry, push_image: PushImage, tmp_path: Path
) -> None:
    word = os.urandom(4).hex()
    sections = {
        "engines": [{"name": "own", "kind": "docker", "host": own_dockerd}],
        "matrix": {"engines": ["own"], "platforms": ["linux/amd64"]},
    }
    for layers in (7, 9):
        image = small_image(AMD64, *(f"{word}-{number}" for number in range(layers)))
        push_image(plain_registry, word, str(layers), image)
    found = checked(spec_file(tmp_path, plain_registry, f"{word}:7", **sections), "client")
    daemon = found["docker-daemon", "engine own"]
    assert daemon.status is Status.PASS
    assert "max-concurrent-downloads 7, shutdown-timeout 60 s, insecure: 127.0.0.1:" in daemon.observed
    found = checked(spec_file(tmp_path, plain_registry, f"{word}:9", **sections), "client", "local-disk")
    daemon = found["docker-daemon", "engine own"]
    assert daemon.status is Status.WARN
    assert re.search(r"is 7; .* 9 layers, so 2 wait$", daemon.observed)
    assert "`--max-concurrent-downloads=7` on dockerd's command line" in daemon.remedy
    assert found["local-cache", "engine own"].status is Status.PASS
    disk = found["local-disk", "engine own"]
    assert disk.status in (Status.PASS, Status.WARN)  # how full the machine's own disk is, no test decides
    assert str(Path(own_dockerd.removeprefix("unix://")).parent / "data") in disk.observed


def _tar(content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("file")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def pullbench(*arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "pullbench", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_pruning_takes_what_nobody_uses_and_leaves_what_a_container_does_or_a_pattern_keeps(own_dockerd: str) -> None:
    client = APIClient(base_url=own_dockerd, version="auto")
    for name in ("kept", "used", "free", "moved"):
        client.import_image_from_data(_tar(name.encode() * 100_000), repository=f"r.example.com/{name}", tag="1")
    dangling = client.inspect_image("r.example.com/moved:1")["Id"]  # type: ignore[no-untyped-call]
    client.import_image_from_data(_tar(b"newer" * 1000), repository="r.example.com/moved", tag="1")
    client.tag("r.example.com/used:1", "r.example.com/also-used", tag="1")
    client.create_container("r.example.com/used:1", command="/nothing")
    here = ("--host", own_dockerd, "--keep", "*/kept:*", "--json")

    code, out, _ = pullbench("prune", *here)
    told = json.loads(out)
    actions = {(row["names"] or [row["id"]])[0]: row["action"] for row in told["images"]}
    assert (code, told["applied"]) == (0, False)
    assert actions == {
        "r.example.com/kept:1": "kept",
        "r.example.com/also-used:1": "kept",
        "r.example.com/free:1": "would remove",
        "r.example.com/moved:1": "would remove",
        dangling: "would remove",
    }
    assert len(client.images()) == 5

    code, out, _ = pullbench("prune", *here, "--apply")
    done = json.loads(out)
    assert (code, [row["action"] for row in done["images"]].count("removed")) == (0, 3)
    assert done["freed_bytes"] >= 900_000
    left = {tag for image in client.images() for tag in image["RepoTags"]}
    assert left == {"r.example.com/kept:1", "r.example.com/used:1", "r.example.com/also-used:1"}
    client.close()
