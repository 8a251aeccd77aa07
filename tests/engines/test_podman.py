"""podman's own store a pull, its driver, and the list of layers read back; a script stands in podman's place."""

import base64
import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pullbench.engines.base import SystemClock
from pullbench.engines.command.engine import CommandFailed
from pullbench.engines.command.podman import PodmanEngine
from pullbench.errors import ErrorCode
from pullbench.model.spec import EngineEntry
from tests.engines.command_world import INDEX, KEYCHAIN, Image, put_script, setup

IMAGE = Image()
WORKS = 'case "$*" in --version) echo podman version 4.3.1;; esac'


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[PodmanEngine]:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    made = PodmanEngine(EngineEntry(name="podman", kind="podman"), keychain=KEYCHAIN, clock=SystemClock())
    yield made
    made.close()


def listed(store: Path, driver: str = "overlay") -> None:
    """What podman's store says of the image's layers."""
    layers = [
        {"id": str(number), "compressed-diff-digest": layer.digest, "compressed-size": layer.size_bytes}
        for number, layer in enumerate(IMAGE.manifest.layers)
    ]
    folder = store / "root" / f"{driver}-layers"
    folder.mkdir(parents=True)
    (folder / "layers.json").write_text(json.dumps(layers))


def test_overlay_is_used_where_it_works(engine: PodmanEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_script(tmp_path / "bin", "podman", WORKS, monkeypatch)
    assert engine.facts().version == "4.3.1 (overlay)"


def test_vfs_is_used_where_overlay_does_not_work(
    engine: PodmanEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = 'case "$*" in *--storage-driver=overlay*) echo "Error: overlay is not supported" >&2; exit 125;; esac; '
    put_script(tmp_path / "bin", "podman", fails + WORKS, monkeypatch)
    assert engine.facts().version == "4.3.1 (vfs)"
    engine.open_trial(setup(IMAGE.request()))
    assert engine._trial is not None
    assert "--storage-driver=vfs" in engine._command(IMAGE.request(), engine._trial.stores[0], 1.0).arguments


def test_where_no_driver_works_the_reason_is_the_fact(
    engine: PodmanEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = 'case "$*" in *--storage-driver*) echo "Error: no space for a store" >&2; exit 125;; esac; ' + WORKS
    put_script(tmp_path / "bin", "podman", script, monkeypatch)
    assert "no space for" in (engine.facts().unavailable or "")


def test_without_root_it_is_unavailable(engine: PodmanEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_script(tmp_path / "bin", "podman", WORKS, monkeypatch)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "as root" in (engine.facts().unavailable or "")


@pytest.mark.parametrize(("help_text", "told"), [("--retry uint   retries", True), ("--quiet", False)])
def test_podmans_own_retries_are_switched_off_where_it_lets_them(
    engine: PodmanEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, help_text: str, told: bool
) -> None:
    put_script(tmp_path / "bin", "podman", f'case "$*" in *--help) echo "{help_text}";; esac', monkeypatch)
    engine.open_trial(setup(IMAGE.request()))
    made = engine._command(IMAGE.request(), tmp_path / "0-1", 1.0)
    assert ("--retry=0" in made.arguments) == told


def test_a_retry_of_podmans_own_is_not_waited_for(
    engine: PodmanEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = 'time=\\"x\\" level=warning msg=\\"Failed, retrying in 1s ... (1/3). Error: dial tcp: connection refused\\"'
    put_script(
        tmp_path / "bin", "podman", f'case "$*" in *"pull --quiet"*) echo "{says}" >&2; sleep 60;; esac', monkeypatch
    )
    asked = IMAGE.request()
    engine.open_trial(setup(asked))
    outcome = engine.pull(asked).verified()
    assert (outcome.error_code, outcome.error) == (ErrorCode.CONNECT_REFUSED, "dial tcp: connection refused")


def test_every_pull_has_root_runroot_and_configuration_of_its_own(engine: PodmanEngine, tmp_path: Path) -> None:
    engine._driver = "overlay"
    commands = [engine._command(IMAGE.request(), tmp_path / name, 1.0) for name in ("0-1", "1-1")]
    for command, name in zip(commands, ("0-1", "1-1"), strict=True):
        store = tmp_path / name
        assert {f"--root={store}/root", f"--runroot={store}/r", f"--tmpdir={store}/tmp"} <= set(command.arguments)
        assert command.environment["CONTAINERS_STORAGE_CONF"] == str(store / "storage.conf")
        assert command.environment["CONTAINERS_REGISTRIES_CONF"] == str(tmp_path / "registries.conf")
    assert commands[0].arguments[-1] == f"127.0.0.1:5000/app@{INDEX}"


def test_a_platform_and_a_ca_are_told(engine: PodmanEngine, tmp_path: Path) -> None:
    asked = IMAGE.request(platform="linux/arm/v7", url="https://r.example.com", ca_file="/etc/ca.pem", prefix="hub")
    made = engine._command(asked, tmp_path / "0-1", 1.0).arguments
    assert {"--os=linux", "--arch=arm", "--variant=v7"} <= set(made)
    assert any(entry.startswith(f"--cert-dir={tmp_path}/certs-") for entry in made)
    assert made[-1] == f"r.example.com/hub/app@{INDEX}"


def test_what_a_store_holds_is_read_from_its_list_of_layers(engine: PodmanEngine, tmp_path: Path) -> None:
    engine._driver = "overlay"
    assert engine._held(tmp_path) == frozenset()
    listed(tmp_path)
    assert engine._held(tmp_path) == {layer.digest for layer in IMAGE.manifest.layers}


def test_a_list_of_layers_that_cannot_be_read_fails_the_pull(engine: PodmanEngine, tmp_path: Path) -> None:
    engine._driver = "overlay"
    listed(tmp_path)
    (tmp_path / "root" / "overlay-layers" / "layers.json").write_text("{")
    with pytest.raises(CommandFailed, match="list of layers"):
        engine._held(tmp_path)


def test_what_came_is_what_inspect_says_with_the_sizes_of_the_store(
    engine: PodmanEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine._driver = "overlay"
    listed(tmp_path)
    asked = '*"image inspect --format={{.Id}} {{.Os}} {{.Architecture}} "*'
    image_id = IMAGE.manifest.config.digest.partition(":")[2]
    put_script(tmp_path / "bin", "podman", f'case "$*" in {asked}) echo "{image_id} linux arm64";; esac', monkeypatch)
    found = engine._brought(IMAGE.request(), tmp_path)
    assert (found.image_id, str(found.platform)) == (IMAGE.manifest.config.digest, "linux/arm64")
    assert dict(found.layers) == {layer.digest: layer.size_bytes for layer in IMAGE.manifest.layers}


def test_an_answer_of_inspect_that_cannot_be_read_is_told(
    engine: PodmanEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine._driver = "overlay"
    put_script(tmp_path / "bin", "podman", "echo '[]'", monkeypatch)
    with pytest.raises(CommandFailed, match="podman image inspect"):
        engine._brought(IMAGE.request(), tmp_path)


def test_partial_pulls_are_in_every_stores_own_configuration(
    engine: PodmanEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_script(tmp_path / "bin", "podman", WORKS, monkeypatch)
    for is_on in (False, True):
        engine._partial_pulls = is_on
        engine.open_trial(setup(IMAGE.request()))
        assert engine._trial is not None
        storage = tomllib.loads((engine._trial.stores[0] / "storage.conf").read_text())["storage"]
        assert storage.get("options", {}).get("pull_options", {}).get("enable_partial_images") == (
            "true" if is_on else None
        )


@pytest.mark.parametrize(
    ("version", "fails", "told"),
    [
        ("4.3.1", "nothing", "podman 4.3.1 downloads zstd:chunked layers whole"),
        ("5.8.6", "overlay", "driver vfs"),
        ("5.8.6", "nothing", None),
        ("10.0", "nothing", None),
    ],
)
def test_a_podman_that_cannot_pull_in_parts_is_not_asked_to(
    engine: PodmanEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, fails: str, told: str | None
) -> None:
    script = f'case "$*" in --version) echo podman version {version};; *--storage-driver={fails}*) exit 125;; esac'
    put_script(tmp_path / "bin", "podman", script, monkeypatch)
    assert engine.facts().unavailable is None
    engine._partial_pulls = True
    found = engine.facts()
    assert (found.version or "").endswith(", partial pulls)")
    assert found.unavailable is None if told is None else told in (found.unavailable or "")


def test_a_layer_that_came_in_parts_is_in_the_store_with_an_unknown_size(engine: PodmanEngine, tmp_path: Path) -> None:
    engine._driver = "overlay"
    whole, partial = IMAGE.manifest.layers
    layers = [
        {"id": "1", "diff-digest": INDEX, "compressed-diff-digest": whole.digest, "compressed-size": whole.size_bytes},
        {"id": "2", "diff-digest": partial.digest, "toc-digest": INDEX},
    ]
    image = Image(rootfs={"type": "layers", "diff_ids": [INDEX, partial.digest]})
    image_id = image.manifest.config.digest.partition(":")[2]
    root = tmp_path / "root"
    folder = root / "overlay-images" / image_id
    folder.mkdir(parents=True)
    (folder / "manifest").write_bytes(image.document)
    (folder / f"={base64.b64encode(image.manifest.config.digest.encode()).decode()}").write_bytes(image.config)
    (root / "overlay-images" / "images.json").write_text(json.dumps([{"id": image_id}]))
    (root / "overlay-layers").mkdir()
    (root / "overlay-layers" / "layers.json").write_text(json.dumps(layers))
    assert engine._sizes(tmp_path) == {whole.digest: whole.size_bytes, partial.digest: None}
    assert engine._held(tmp_path) == {whole.digest, partial.digest}
    (folder / "manifest").unlink()
    with pytest.raises(CommandFailed, match="list of layers"):
        engine._held(tmp_path)
