"""containerd's routes, secrets and texts; scripts stand in the places of containerd and ctr."""

import os
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pullbench.engines.base import SystemClock
from pullbench.engines.command.containerd import ContainerdEngine, _hosts_toml, _name
from pullbench.engines.command.engine import CommandFailed
from pullbench.errors import ErrorCode, RegistryError, UsageError
from pullbench.model.route import Route
from pullbench.model.spec import EngineEntry
from tests.engines.command_world import INDEX, KEYCHAIN, Image, digest_of, put_script, setup

DIFF_IDS = [digest_of(b"base, unpacked"), digest_of(b"top, unpacked")]
CHAIN_IDS = [DIFF_IDS[0], digest_of(" ".join(DIFF_IDS).encode())]
IMAGE = Image(rootfs={"type": "layers", "diff_ids": DIFF_IDS})
SECRET = "s3cret-password"
DAEMON = (
    'case "$1" in --version) echo "containerd github.com/containerd/containerd 1.6.20~ds1 abc";; *) sleep 60;; esac'
)
PLUGINS = "io.containerd.snapshotter.v1    overlayfs    linux/amd64    {}"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[ContainerdEngine]:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    made = ContainerdEngine(EngineEntry(name="containerd", kind="containerd"), keychain=KEYCHAIN, clock=SystemClock())
    yield made
    made.close()


def put_clients(folder: Path, monkeypatch: pytest.MonkeyPatch, *, overlay: str = "ok", more: str = "") -> None:
    put_script(folder / "bin", "containerd", DAEMON, monkeypatch)
    put_ctr(folder, monkeypatch, overlay=overlay, more=more)


def put_ctr(folder: Path, monkeypatch: pytest.MonkeyPatch, *, overlay: str = "ok", more: str = "") -> None:
    ctr = f'case "$*" in *"plugins ls") echo "{PLUGINS.format(overlay)}";; {more} esac'
    put_script(folder / "bin", "ctr", ctr, monkeypatch)


@pytest.mark.parametrize(("overlay", "unpacks"), [("ok", "overlayfs"), ("skip", "native"), ("error", "native")])
def test_the_version_says_what_it_unpacks_with(
    engine: ContainerdEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overlay: str, unpacks: str
) -> None:
    put_clients(tmp_path, monkeypatch, overlay=overlay)
    assert engine.facts().version == f"1.6.20~ds1 ({unpacks})"


def test_without_root_or_without_the_daemon_it_is_unavailable(
    engine: ContainerdEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_clients(tmp_path, monkeypatch)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "as root" in (engine.facts().unavailable or "")
    monkeypatch.setattr("pullbench.engines.command.containerd.find_program", lambda name: None)
    assert "not installed" in (engine.facts().unavailable or "")


def test_a_daemon_that_does_not_start_says_why(
    engine: ContainerdEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_script(tmp_path / "bin", "containerd", "echo 'containerd: no such plugin' >&2; exit 1", monkeypatch)
    put_script(tmp_path / "bin", "ctr", "exit 1", monkeypatch)
    with pytest.raises(RegistryError, match="containerd does not start: containerd: no such plugin") as raised:
        engine.open_trial(setup(IMAGE.request()))
    assert raised.value.code is ErrorCode.ENGINE_UNAVAILABLE
    assert engine._trial is None


def test_the_daemon_ends_with_its_trial(
    engine: ContainerdEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_clients(tmp_path, monkeypatch)
    engine.open_trial(setup(IMAGE.request()))
    daemon = engine._daemon
    assert daemon is not None and daemon.poll() is None
    engine.close_trial()
    assert daemon.poll() is not None


def test_a_daemon_that_the_facts_cannot_use_does_not_outlive_them(
    engine: ContainerdEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_clients(tmp_path, monkeypatch, more='*--help) echo "ctr is broken" >&2; exit 1;;')
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def remembered(*arguments: Any, **options: Any) -> Any:
        process = popen(*arguments, **options)
        if arguments[0][0] == "containerd" and arguments[0][1] != "--version":
            started.append(process)
        return process

    monkeypatch.setattr("pullbench.engines.command.containerd.subprocess.Popen", remembered)
    assert "ctr is broken" in (engine.facts().unavailable or "")
    (daemon,) = started
    assert daemon.poll() is not None
    assert engine._daemon is None


def test_a_path_that_no_socket_can_have_is_told(engine: ContainerdEngine, tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="TMPDIR"):
        engine._start(tmp_path / ("x" * 100))


CTR_2 = """*--help) echo "   --skip-metadata   Skips metadata (default: false)
   --local    Fetch content from local client rather than using transfer service (default: false)";;"""
CTR_1_7 = '*--help) echo "   --local   Fetch content from local client rather than using transfer service";;'


@pytest.mark.parametrize(
    ("help_text", "transfer", "options", "shown"),
    [
        ("", None, [], "(overlayfs)"),
        ("", "local", [], "(overlayfs)"),
        (CTR_1_7, None, ["--local=true"], "(overlayfs, transfer local)"),
        (CTR_1_7, "service", ["--local=false"], "(overlayfs, transfer service)"),
        (CTR_2, None, ["--local=false", "--skip-metadata"], "(overlayfs, transfer service)"),
        (CTR_2, "local", ["--local=true", "--skip-metadata"], "(overlayfs, transfer local)"),
        (CTR_2, "service", ["--local=false", "--skip-metadata"], "(overlayfs, transfer service)"),
    ],
)
def test_what_downloads_is_as_the_option_says_else_as_ctr_does_by_default(
    engine: ContainerdEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    help_text: str,
    transfer: str | None,
    options: list[str],
    shown: str,
) -> None:
    put_clients(tmp_path, monkeypatch, more=help_text)
    engine._chosen = transfer
    found = engine.facts()
    assert found.unavailable is None
    assert (found.version or "").endswith(shown)
    made = engine._command(IMAGE.request(), tmp_path / "0-1", 1.0).arguments
    assert [entry for entry in made if entry.startswith(("--local", "--skip-metadata"))] == options


def test_a_ctr_without_the_transfer_service_cannot_be_asked_for_it(
    engine: ContainerdEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_clients(tmp_path, monkeypatch)
    engine._chosen = "service"
    found = engine.facts()
    assert found.version == "1.6.20~ds1 (overlayfs)"
    assert "no transfer service" in (found.unavailable or "")


@pytest.mark.parametrize(("transfer", "is_told"), [("service", True), ("local", False)])
def test_the_service_unpacks_the_platform_of_the_trial_and_uses_the_proxy_of_its_route(
    engine: ContainerdEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transfer: str, is_told: bool
) -> None:
    daemon = 'case "$1" in --version) ;; *) env > "$HOME/env"; : > "$HOME/begun"; sleep 60;; esac'
    put_script(tmp_path / "bin", "containerd", daemon, monkeypatch)
    put_ctr(tmp_path, monkeypatch, more='*" version") [ -e "$HOME/begun" ];; ' + CTR_2)
    engine._chosen = transfer
    assert engine.facts().unavailable is None
    engine.open_trial(setup(IMAGE.request(platform="linux/arm/v7", forward_url="http://squid:3128", proxy="squid")))
    assert engine._trial is not None
    folder = engine._trial.folder.path
    config = tomllib.loads((folder / "config.toml").read_text())
    unpacks = {"platform": "linux/arm/v7", "snapshotter": "overlayfs", "differ": "walking"}
    service = config["plugins"].get("io.containerd.transfer.v1.local", {})
    assert service.get("unpack_config", []) == ([unpacks] if is_told else [])
    assert ("HTTPS_PROXY=http://squid:3128" in (folder / "env").read_text().splitlines()) == is_told


def test_a_password_is_typed_and_stands_in_no_argument(
    engine: ContainerdEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_clients(tmp_path, monkeypatch)
    made = engine._command(IMAGE.request(credentials="env:ME", prefix="hub"), tmp_path / "0-1", 1.0)
    assert made.typed == SECRET
    assert "--user=somebody" in made.arguments
    assert SECRET not in " ".join(made.arguments) + " ".join(made.environment.values()) + repr(made)
    assert made.arguments[-1] == f"127.0.0.1:5000/hub/app@{INDEX}"
    assert f"--namespace={'0-1'}" in made.arguments


@pytest.mark.parametrize(
    ("credentials", "told"), [("env:TOKEN", "an identity token"), ("env:LONG", "a password that cannot be typed")]
)
def test_a_secret_that_ctr_could_only_take_in_public_is_refused(
    engine: ContainerdEngine, credentials: str, told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        engine.open_trial(setup(IMAGE.request(credentials=credentials)))


def test_a_route_is_one_server_with_its_ca_and_headers() -> None:
    route = Route(
        registry="r",
        url="https://dragonfly.example.com:4001",
        ca_file="/etc/ca.pem",
        headers={"X-Dragonfly-Registry": 'https://r.example.com/"'},
    )
    document = tomllib.loads(_hosts_toml(route))
    assert document["server"] == "https://dragonfly.example.com:4001"
    assert (document["ca"], document["capabilities"]) == ("/etc/ca.pem", ["pull", "resolve"])
    assert document["header"] == {"X-Dragonfly-Registry": 'https://r.example.com/"'}
    assert [entry["capabilities"] for entry in document["host"].values()] == [["push"]]


def test_a_mirror_of_several_registries_serves_the_name_of_the_registry() -> None:
    request = IMAGE.request(proxy="spegel", namespace="eu.example.com:8443")
    assert _name(request).startswith("eu.example.com:8443/app@sha256:")
    assert tomllib.loads(_hosts_toml(request.route))["server"] == "http://127.0.0.1:5000"


def test_plain_http_is_its_servers_scheme() -> None:
    document = tomllib.loads(_hosts_toml(Route(registry="r", url="http://127.0.0.1:5000")))
    assert document["server"] == "http://127.0.0.1:5000"
    assert "ca" not in document and "header" not in document


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("unpacking linux/amd64 sha256:1...\ndone: 1.913397714s\t\n", 1.913397714),
        ("done: 5.373866ms\t\n", 0.005373866),
        ("done: 812.5µs\n", 0.0008125),
        ("done: 1m2.5s\n", 62.5),
        ("done: 1h0m1s\n", 3601.0),
        ("layer-sha256:1: done  |+++|\nelapsed: 0.7 s total: 43.2 M", None),
        ("", None),
    ],
)
def test_the_time_of_unpacking_is_read_as_go_prints_it(
    engine: ContainerdEngine, said: str, seconds: float | None
) -> None:
    assert engine._extract_s(said) == (None if seconds is None else pytest.approx(seconds))


def content(folder: Path) -> Path:
    """A trial's folder with the image in its content store; gives the pull's store."""
    blobs = folder / "root" / "io.containerd.content.v1.content" / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for blob in (IMAGE.config, *IMAGE.layers):
        (blobs / digest_of(blob).partition(":")[2]).write_bytes(blob)
    return folder / "0-1"


def put_namespace(folder: Path, monkeypatch: pytest.MonkeyPatch, *snapshots: str) -> None:
    """A ctr whose namespace 0-1 has the image's manifest and blobs, and these snapshots."""
    blobs = " ".join((digest_of(IMAGE.document), *(blob.digest for blob in IMAGE.manifest.blobs)))
    more = f'*"--namespace=0-1 content ls --quiet") echo "{blobs}";; '
    rows = "\n".join(f"{name}   Committed" for name in snapshots)
    put_clients(
        folder, monkeypatch, more=more + f'*"--namespace=0-1 snapshots --snapshotter=overlayfs ls") echo "{rows}";;'
    )


def test_what_came_is_what_the_namespace_lists_with_the_sizes_of_the_content(
    engine: ContainerdEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_namespace(tmp_path, monkeypatch, *CHAIN_IDS)
    found = engine._brought(IMAGE.request(), content(tmp_path))
    assert (found.image_id, str(found.platform)) == (IMAGE.manifest.config.digest, "linux/amd64")
    assert dict(found.layers) == {layer.digest: layer.size_bytes for layer in IMAGE.manifest.layers}


def test_an_image_that_is_not_unpacked_is_no_success(
    engine: ContainerdEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_namespace(tmp_path, monkeypatch, CHAIN_IDS[0])
    with pytest.raises(CommandFailed, match="not unpacked") as raised:
        engine._brought(IMAGE.request(), content(tmp_path))
    assert raised.value.code is ErrorCode.ENGINE_UNAVAILABLE


def test_another_image_than_the_one_of_the_plan_is_not_this_pulls(
    engine: ContainerdEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = " ".join(blob.digest for blob in IMAGE.manifest.blobs)
    put_clients(tmp_path, monkeypatch, more=f'*"content ls --quiet") echo "{INDEX} {blobs}";;')
    with pytest.raises(CommandFailed) as raised:
        engine._brought(IMAGE.request(), content(tmp_path))
    assert raised.value.code is ErrorCode.DIGEST_MISMATCH


def test_an_index_alone_is_no_image_of_the_platform(
    engine: ContainerdEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_clients(tmp_path, monkeypatch, more=f'*"content ls --quiet") echo "{INDEX}";;')
    with pytest.raises(CommandFailed) as raised:
        engine._brought(IMAGE.request(platform="linux/s390x"), content(tmp_path))
    assert raised.value.code is ErrorCode.PLATFORM_MISSING


def test_content_of_another_namespace_is_not_this_pulls(
    engine: ContainerdEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = digest_of(IMAGE.document)
    put_clients(tmp_path, monkeypatch, more=f'*"content ls --quiet") echo "{INDEX} {manifest}";;')
    with pytest.raises(CommandFailed, match="ctr") as raised:
        engine._brought(IMAGE.request(), content(tmp_path))
    assert raised.value.code is ErrorCode.DIGEST_MISMATCH
