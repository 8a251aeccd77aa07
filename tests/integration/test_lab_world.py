"""The lab as processes: what serves what, and how all of it ends."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import yaml

from pullbench.errors import PullbenchError, UsageError
from pullbench.lab.__main__ import part
from pullbench.lab.children import Child
from pullbench.lab.embedded import PLATFORMS, EmbeddedLab
from pullbench.lab.registry import Registry, listen
from pullbench.model.facts import Facts
from pullbench.model.plan import plan
from pullbench.model.spec import read_spec
from tests.integration.shell import Shell
from tests.lab.conftest import ask, until
from tests.lab.test_pushes import send

pytestmark = [pytest.mark.integration]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def world() -> Iterator[EmbeddedLab]:
    with EmbeddedLab.start(total_bytes=300_000, count=2) as running:
        yield running


def lab_process(temporary: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "pullbench.lab"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(temporary)},
    )


def addresses_of(process: "subprocess.Popen[bytes]") -> dict[str, Any]:
    assert process.stdout is not None
    return dict(json.loads(process.stdout.readline()))


def has_ended(process: psutil.Process) -> bool:
    """Gone, or waiting to be collected by whoever inherited it."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def is_refused(url: str) -> bool:
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname, parts.port), timeout=10):
            return False
    except ConnectionRefusedError:
        return True


def test_both_registries_and_the_cache_serve_every_image(world: EmbeddedLab) -> None:
    for url in (*world.registries.values(), world.cache):
        for image in world.images:
            answer = ask(url, f"/v2/{image.repository}/manifests/{image.tag}")
            assert (answer.status, answer.body) == (200, image.index)


def test_the_cache_fetches_from_us_and_then_serves_by_itself(world: EmbeddedLab) -> None:
    image = world.images[0]
    path = f"/v2/{image.repository}/blobs/{next(iter(image.blobs))}"
    before = json.loads(ask(world.origins["us"], "/lab/counters").body)["requests"].get("blob_get", 0)
    assert [ask(world.cache, path).headers["x-cache"] for _ in range(2)] == ["MISS", "HIT"]
    after = json.loads(ask(world.origins["us"], "/lab/counters").body)["requests"]["blob_get"]
    assert after == before + 1


@pytest.mark.parametrize("quick", [False, True])
def test_the_demo_spec_is_valid_and_plans_the_mirror_for_us_alone(world: EmbeddedLab, quick: bool) -> None:
    spec = read_spec(world.spec(quick))
    assert spec.name == "demo"
    assert {entry.name: entry.url for entry in spec.registries} == dict(world.registries)
    made = plan(spec, Facts(host_platform="linux/amd64", offline=True))
    assert {(cell.registry, cell.proxy) for cell in made.cells} == {
        ("eu", "direct"),
        ("us", "direct"),
        ("us", "cache"),
    }
    assert {entry.cell.registry for entry in made.planned_out} == {"eu"}
    for trial in made.trials:
        assert len(trial.images) % max(spec.matrix.concurrency) == 0
    assert {cell.platform for cell in made.cells} == set(PLATFORMS[: 1 if quick else 2])
    assert spec.repetitions >= 5


def test_the_end_of_the_block_ends_every_process_and_removes_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(psutil.Process().children(recursive=True))
    with EmbeddedLab.start(total_bytes=300_000, count=2) as running:
        assert set(psutil.Process().children(recursive=True)) - before
        assert list(tmp_path.iterdir())
    assert set(psutil.Process().children(recursive=True)) <= before
    assert all(is_refused(url) for url in (*running.registries.values(), running.cache, *running.origins.values()))
    assert list(tmp_path.iterdir()) == []


def test_a_given_folder_keeps_the_images(tmp_path: Path) -> None:
    with EmbeddedLab.start(folder=tmp_path, total_bytes=300_000, count=2):
        pass
    assert (tmp_path / "images" / "index.json").exists()


def test_what_cannot_be_made_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(UsageError, match="layers take at least"):
        EmbeddedLab.start(total_bytes=10)
    assert set(psutil.Process().children(recursive=True)) <= before
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_fails_says_why(tmp_path: Path) -> None:
    child = Child("registry", log=tmp_path / "log", sockets=[])
    child.tell({"listener": 999, "images": "nowhere"})
    with pytest.raises(PullbenchError, match=r"lab's registry does not start: .*Error"):
        child.wait_ready()
    child.end()


def test_a_killed_parent_leaves_no_process(tmp_path: Path) -> None:
    process = lab_process(tmp_path)
    urls = addresses_of(process)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) == 4
    process.kill()
    process.communicate()
    assert until(lambda: all(has_ended(child) for child in children))
    assert all(is_refused(url) for url in (*urls["registries"].values(), urls["cache"]))


@pytest.mark.parametrize("way", ["stdin", "SIGTERM", "SIGINT"])
def test_the_lab_ends_with_its_stdin_or_a_signal_and_tidies_up(tmp_path: Path, way: str) -> None:
    process = lab_process(tmp_path)
    addresses_of(process)
    children = psutil.Process(process.pid).children(recursive=True)
    if way == "stdin":
        assert process.stdin is not None
        process.stdin.close()
    else:
        process.send_signal(signal.Signals[way])
    assert process.wait(60) == 0
    assert process.stdout is not None
    assert process.stdout.read() == b""
    process.stdout.close()
    if process.stdin is not None:
        process.stdin.close()
    assert until(lambda: all(has_ended(child) for child in children))
    assert list(tmp_path.iterdir()) == []


def test_a_registry_in_its_process_serves_no_more_at_once_than_it_was_told() -> None:
    """One slot of a tenth of a second: the second of two requests waits for the first."""
    config = {"listener": listen().detach(), "slots": 1, "service_s": 0.1}
    with part("registry", config) as bounded, ThreadPoolExecutor(2) as pool:
        assert isinstance(bounded, Registry)
        began = time.monotonic()
        answers = list(pool.map(lambda _: ask(bounded.url, "/v2/"), range(2)))
        took_s = time.monotonic() - began
    assert [answer.status for answer in answers] == [200, 200]
    assert took_s >= 0.2


def test_eu_and_us_accept_pushes_and_the_mirror_serves_them(world: EmbeddedLab) -> None:
    content, digest = b"pushed", f"sha256:{hashlib.sha256(b'pushed').hexdigest()}"
    for name in ("eu", "us"):
        begun = send(world.registries[name], "POST", "/v2/team/app/blobs/uploads/")
        put = send(world.registries[name], "PUT", f"{begun.headers['location']}?digest={digest}", content)
        assert (begun.status, put.status) == (202, 201)
    assert ask(world.cache, f"/v2/team/app/blobs/{digest}").body == content
    refused = send(world.cache, "POST", "/v2/team/app/blobs/uploads/")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


def test_a_lab_in_a_given_folder_accepts_no_push(tmp_path: Path) -> None:
    with EmbeddedLab.start(folder=tmp_path, total_bytes=300_000, count=2) as running:
        assert send(running.registries["eu"], "POST", "/v2/team/app/blobs/uploads/").status == 405


def test_a_cold_mirror_is_measured_in_the_lab_and_leaves_nothing_at_its_upstream(
    world: EmbeddedLab, tmp_path: Path
) -> None:
    shell = Shell(tmp_path, {"DOCKER_CONFIG": str(tmp_path / "none")})
    spec = {**world.spec(True), "repetitions": 1, "warmup": 0, "pulls_per_trial": 2}
    spec["matrix"] |= {"registries": ["us"], "proxies": ["cache"], "concurrency": [1], "proxy_cache": ["cold", "warm"]}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    done = shell.run("run", "spec.yaml", "--no-report", "--json")
    assert done.code == 0, done.err
    assert {cell["proxy_cache"]: cell["succeeded"] for cell in done.document["cells"]} == {"cold": 2, "warm": 2}
    assert "left at" not in done.err
    counters = json.loads(ask(world.origins["us"], "/lab/counters").body)
    assert counters["pushed_bytes"] > 0
    assert ask(world.registries["us"], "/v2/pullbench/cold/tags/list").body == b'{"name": "pullbench/cold", "tags": []}'


def test_images_are_pushed_to_the_lab_and_the_written_spec_pulls_them(world: EmbeddedLab, tmp_path: Path) -> None:
    shell = Shell(tmp_path, {"DOCKER_CONFIG": str(tmp_path / "none")})
    push = ("images", "push", world.registries["eu"], "--count", "2", "--size", "200KB", "--spec-out", "spec.yaml")
    pushed = shell.run(*push, "--credentials", "anonymous", "--json")
    assert (pushed.code, pushed.document["pushed"]) == (0, 2), pushed.err
    again = shell.run(*push, "--credentials", "anonymous", "--json")
    assert (again.code, again.document["there"]) == (0, 2), again.err
    matrix = ("--set", "matrix.concurrency=[1]", "--set", "repetitions=1", "--set", "warmup=0")
    done = shell.run("run", "spec.yaml", "--no-report", "--json", *matrix)
    assert done.code == 0, done.err
    assert all(cell["succeeded"] == cell["pulls"] > 0 for cell in done.document["cells"])
