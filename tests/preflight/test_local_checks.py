"""local-disk and local-cache, on evidence."""

import dataclasses
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pullbench.daemon.docker import DockerDaemon
from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.facts import EngineFacts, Facts, ImageFacts, PlatformImage
from pullbench.model.finding import Finding, Status
from pullbench.model.manifest import Manifest, parse_manifest
from pullbench.model.plan import plan
from pullbench.preflight.check import Check, Local
from pullbench.preflight.checks import local_cache, local_disk
from pullbench.preflight.checks.local_cache import ImageStoreUsage
from pullbench.preflight.checks.local_disk import RESULTS, UNPACKED, Disk, disk_under, every_disk, need_bytes
from pullbench.preflight.context import CheckContext
from pullbench.preflight.runner import run_checks
from pullbench.registry.keychain import Keychain
from tests.preflight.contexts import spec_of
from tests.registry.fake_registry import config_blob, digest_of, manifest_of

GB = 10**9
ENGINE = Local(name="engine docker")
MANIFEST = parse_manifest(manifest_of(config_blob()))
assert isinstance(MANIFEST, Manifest)
SIZE = MANIFEST.size_bytes


def disk(free: float, need: float | None, *, total: float = 100, target: Local = ENGINE, **more: Any) -> Finding:
    needed = None if need is None else round(need * GB)
    evidence = Disk(
        path="/var/lib/docker",
        what=more.pop("what", "the daemon's images"),
        need_bytes=needed,
        total_bytes=round(total * GB),
        free_bytes=round(free * GB),
        **more,
    )
    (finding,) = local_disk.judge(evidence, target)
    return finding


@pytest.mark.parametrize(
    ("free", "need", "status"),
    [
        (50, 30, Status.PASS),
        (50, 31, Status.WARN),
        (50, 50, Status.WARN),
        (50, 51, Status.FAIL),
        (50, None, Status.PASS),
        (19, None, Status.WARN),
        (0, None, Status.FAIL),
    ],
)
def test_what_does_not_fit_fails_and_under_a_fifth_left_warns(free: float, need: float | None, status: Status) -> None:
    assert disk(free, need).status is status


def test_a_large_disk_with_much_room_passes_however_small_its_share() -> None:
    assert disk(150, 10, total=10_000).status is Status.PASS
    assert disk(105, 10, total=10_000).status is Status.WARN


def test_a_disk_without_an_inode_fails_and_with_few_it_warns_where_images_are_unpacked() -> None:
    assert disk(50, 1, total_inodes=1000, free_inodes=0).status is Status.FAIL
    assert disk(50, 1, total_inodes=10**6, free_inodes=49_999, unpacks=True).status is Status.WARN
    assert disk(50, 1, total_inodes=10**6, free_inodes=49_999).status is Status.PASS
    assert disk(50, 1, total_inodes=0, free_inodes=0, unpacks=True).status is Status.PASS


def test_a_failure_says_the_estimate_and_each_folder_has_its_own_remedy() -> None:
    found = disk(1, 2, unpacks=True)
    assert found.code == "disk_full"
    assert "/var/lib/docker: 1.00 GB of 100 GB free" in found.observed
    assert "2.00 GB" in found.observed
    assert (found.code, found.parameters) == (ErrorCode.DISK_FULL, {"path": "/var/lib/docker"})
    assert "3.5 times" in found.observed
    assert "`pullbench prune --keep PATTERN`" in found.remedy
    assert "TMPDIR=/larger/disk" in disk(1, 2, what="TMPDIR").remedy
    assert "--results DIR" in disk(1, 2, what="results", target=RESULTS).remedy


def test_a_disk_on_another_machine_is_skipped_with_where_to_look() -> None:
    (finding,) = local_disk.judge(Disk(path="/d", what="", elsewhere="run `df -h /d` where it is"), ENGINE)
    assert (finding.status, finding.observed) == (Status.SKIP, "run `df -h /d` where it is")


def facts_of(*images: str) -> Facts:
    assert isinstance(MANIFEST, Manifest)
    found = PlatformImage(digest=digest_of(b"x"), manifest=MANIFEST)
    known = {("eu", name): ImageFacts(registry="eu", image=name, platforms={"linux/amd64": found}) for name in images}
    return Facts(host_platform="linux/amd64", images=known)


def context_of(engines: list[str], images: list[str], *, known: list[str] | None = None, **more: Any) -> CheckContext:
    spec = spec_of(
        images=images,
        engines=[{"name": "disk", "kind": "wire", "sink": "disk"}],
        matrix={"engines": engines, "platforms": ["linux/amd64"], **more.pop("matrix", {})},
        **more,
    )
    facts = facts_of(*(images if known is None else known))
    planned = plan(spec, facts) if known is None else None
    return CheckContext(spec, facts, Keychain(environ={}), plan=planned)


def need_of(engine: str, **more: Any) -> int | None:
    with context_of([engine], ["a:1", "b:1"], **more) as context:
        return need_bytes(context, context.engines[0])


def test_a_store_of_a_pulls_own_takes_each_pull_of_a_trial_and_docker_a_layer_once() -> None:
    assert need_of("disk", pulls_per_trial=6) == 6 * SIZE
    assert need_of("skopeo") == 2 * SIZE
    assert need_of("podman") == need_of("containerd") == round(2 * SIZE * (1 + UNPACKED))
    assert need_of("docker") == round(SIZE * (1 + UNPACKED))  # the two images are the same blobs


def test_what_a_run_needs_is_not_known_where_the_facts_lack_an_image() -> None:
    assert need_of("docker", known=["a:1"]) is None
    assert need_of("skopeo", known=["a:1", "b:1"]) == 2 * SIZE


def test_only_engines_that_write_are_looked_at_and_the_folder_of_results_always() -> None:
    with context_of(["wire", "disk", "skopeo"], ["a:1"]) as context:
        assert [target.name for target in every_disk(context)] == ["engine disk", "engine skopeo", "working directory"]


def test_an_engine_that_is_planned_out_writes_nothing() -> None:
    spec = spec_of(images=["a:1"], matrix={"engines": ["wire", "skopeo"], "platforms": ["linux/amd64"]})
    known = EngineFacts(name="skopeo", kind="skopeo", unavailable="it is not installed")
    facts = dataclasses.replace(facts_of("a:1"), engines={"skopeo": known})
    with CheckContext(spec, facts, Keychain(environ={}), plan=plan(spec, facts)) as context:
        assert every_disk(context) == [RESULTS]


def test_the_disk_under_a_folder_is_the_one_that_df_shows(tmp_path: Path) -> None:
    seen, known = disk_under(tmp_path, what="x", need_bytes=1), os.statvfs(tmp_path)
    assert seen.total_bytes == known.f_blocks * known.f_frsize
    assert 0 < seen.free_bytes <= seen.total_bytes


class Daemon:
    """Stands for a daemon that says this of itself."""

    def __init__(self, host: str, **info: Any) -> None:
        self.host = host
        self._info = info

    def info(self) -> dict[str, Any]:
        return self._info

    def close(self) -> None:
        pass


def probe_docker(host: str, root: Path | str) -> Disk:
    spec = spec_of(matrix={"engines": ["docker"]})
    open_it = cast("type[DockerDaemon]", lambda _: Daemon(host, DockerRootDir=str(root)))
    with CheckContext(spec, facts_of("app:1.0"), Keychain(environ={}), daemon=open_it) as context:
        return local_disk.probe(context, ENGINE)


def test_dockers_disk_is_looked_at_where_it_is_on_this_machine(tmp_path: Path) -> None:
    assert probe_docker("unix:///run/docker.sock", tmp_path).path == str(tmp_path)
    assert "tcp://10.0.0.7:2375" in probe_docker("tcp://10.0.0.7:2375", tmp_path).elsewhere
    assert "/in/a/vm" in probe_docker("unix:///run/docker.sock", "/in/a/vm").elsewhere


def cache(total: float, reclaimable: float, host: str | None = None) -> Finding:
    evidence = ImageStoreUsage(
        host=host, images=5, dangling=1, unused=3, bytes=round(total * GB), reclaimable_bytes=round(reclaimable * GB)
    )
    (finding,) = local_cache.judge(evidence, ENGINE)
    return finding


def test_a_cache_that_nobody_uses_warns_from_ten_gigabytes_and_half_of_it_on() -> None:
    assert cache(12, 9.9).status is Status.PASS
    assert cache(40, 19).status is Status.PASS
    found = cache(40, 20)
    assert found.status is Status.WARN
    for part in ("5 images, 40.0 GB", "3 unused", "1 dangling", "20.0 GB"):
        assert part in found.observed
    assert "`pullbench prune --keep 'PATTERN'`" in found.remedy
    assert "prune --host unix:///run/two.sock --keep" in cache(40, 20, "unix:///run/two.sock").remedy


@pytest.mark.parametrize("check", [local_disk.CHECK, local_cache.CHECK])
def test_a_daemon_that_stops_answering_is_a_check_that_could_not_run(check: Check[Any, Any]) -> None:
    def gone(*_: Any) -> Any:
        raise RegistryError(ErrorCode.ENGINE_UNAVAILABLE, "docker unix:///x", "no answer from the daemon")

    spec = spec_of(matrix={"engines": ["docker"]})
    silent = cast(
        "type[DockerDaemon]", lambda _: SimpleNamespace(host="unix:///x", info=gone, disk_usage=gone, close=int)
    )
    with CheckContext(spec, facts_of("app:1.0"), Keychain(environ={}), daemon=silent) as context:
        findings = run_checks([check], context)
    assert [finding.status for finding in findings if finding.target == "engine docker"] == [Status.ERROR]


def test_the_local_cache_is_skipped_where_the_spec_uses_no_docker() -> None:
    with CheckContext(spec_of(), facts_of("app:1.0"), Keychain(environ={})) as context:
        (finding,) = run_checks([local_cache.CHECK], context)
    assert (finding.status, finding.observed != "") == (Status.SKIP, True)
