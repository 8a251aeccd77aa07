"""skopeo's command line for each route, and its layouts read back."""

import json
from pathlib import Path

import pytest

from pullbench.engines.base import SystemClock
from pullbench.engines.command.containerd import ContainerdEngine
from pullbench.engines.command.containers_image import write_configuration
from pullbench.engines.command.engine import CommandFailed
from pullbench.engines.command.skopeo import SkopeoEngine
from pullbench.errors import ErrorCode, UsageError
from pullbench.model.manifest import DOCKER_MANIFEST
from pullbench.model.spec import EngineEntry
from pullbench.registry.keychain import Keychain
from tests.engines.command_world import INDEX, KEYCHAIN, Image, setup

IMAGE = Image()


@pytest.fixture
def engine() -> SkopeoEngine:
    return SkopeoEngine(EngineEntry(name="skopeo", kind="skopeo"), keychain=KEYCHAIN, clock=SystemClock())


def arguments(engine: SkopeoEngine, store: Path, timeout_s: float = 30.0, **request: str) -> list[str]:
    return list(engine._command(IMAGE.request(**request), store, timeout_s).arguments)  # type: ignore[arg-type]


def test_an_image_is_asked_for_at_its_pinned_digest(engine: SkopeoEngine, tmp_path: Path) -> None:
    made = arguments(engine, tmp_path / "0-1")
    assert made[-2:] == [f"docker://127.0.0.1:5000/app@{INDEX}", f"oci:{tmp_path}/0-1"]
    assert "--src-tls-verify=false" in made
    assert {"--override-os=linux", "--override-arch=amd64"} <= set(made)
    assert not any(entry.startswith("--override-variant") for entry in made)


def test_a_mirror_is_asked_under_its_prefix_by_tls_with_its_ca(engine: SkopeoEngine, tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text("a CA")
    route = {"url": "https://harbor.example.com", "prefix": "hub", "proxy": "cache", "ca_file": str(ca_file)}
    made = arguments(engine, tmp_path / "0-1", platform="linux/arm/v7", **route)
    assert made[-2] == f"docker://harbor.example.com/hub/app@{INDEX}"
    assert "--src-tls-verify=false" not in made
    assert "--override-variant=v7" in made
    engine._open(tmp_path, setup(IMAGE.request(**route)))
    (certificates,) = [Path(entry.partition("=")[2]) for entry in made if entry.startswith("--src-cert-dir=")]
    assert (certificates / "ca.crt").read_text() == "a CA"


def test_a_layer_that_comes_uncompressed_is_not_compressed_inside_the_clock(
    engine: SkopeoEngine, tmp_path: Path
) -> None:
    assert "--dest-oci-accept-uncompressed-layers" in arguments(engine, tmp_path / "0-1")


def test_its_own_time_limit_lies_behind_ours(engine: SkopeoEngine, tmp_path: Path) -> None:
    assert "--command-timeout=13s" in arguments(engine, tmp_path / "0-1", timeout_s=7.2)


def test_configuration_names_each_repository_whole_and_no_mirror(engine: SkopeoEngine, tmp_path: Path) -> None:
    plain, secure = IMAGE.request(), IMAGE.request(1, url="https://r.example.com")
    engine._open(tmp_path, setup(plain, secure))
    text = (tmp_path / "registries.conf").read_text()
    assert 'prefix = "127.0.0.1:5000/app"\nlocation = "127.0.0.1:5000/app"\ninsecure = true\n' in text
    assert 'prefix = "r.example.com/app"\nlocation = "r.example.com/app"\ninsecure = false\n' in text
    assert "mirror" not in text


def test_an_identity_token_is_written_as_docker_writes_it(engine: SkopeoEngine, tmp_path: Path) -> None:
    engine._open(tmp_path, setup(IMAGE.request(credentials="env:TOKEN")))
    entry = json.loads((tmp_path / "auth.json").read_text())["auths"]["127.0.0.1:5000"]
    assert entry["identitytoken"] == "an-identity-token"


def test_a_ca_that_cannot_be_read_is_a_usage_error(engine: SkopeoEngine, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ca_file: /no/ca\.pem cannot be used: No such file"):
        engine._open(tmp_path, setup(IMAGE.request(url="https://r.example.com", ca_file="/no/ca.pem")))


def test_a_layout_gives_the_images_id_its_platform_and_the_sizes_that_landed(
    engine: SkopeoEngine, tmp_path: Path
) -> None:
    image = Image(architecture="arm", variant="v7")
    found = engine._brought(image.request(), image.layout(tmp_path / "0-1"))
    assert (found.image_id, str(found.platform)) == (image.manifest.config.digest, "linux/arm/v7")
    assert dict(found.layers) == {layer.digest: layer.size_bytes for layer in image.manifest.layers}


def test_the_bytes_of_a_layer_that_is_listed_twice_are_unknown(engine: SkopeoEngine, tmp_path: Path) -> None:
    image = Image(top=b"base layer")
    found = engine._brought(image.request(), image.layout(tmp_path / "0-1"))
    assert dict(found.layers) == {image.manifest.layers[0].digest: None}


def test_dockers_config_written_anew_is_known_by_the_images_layers(engine: SkopeoEngine, tmp_path: Path) -> None:
    promised, converted = Image(DOCKER_MANIFEST), Image(created="2026-01-01T00:00:00Z")
    layout = converted.layout(tmp_path / "0-1")
    assert promised.manifest.config.digest != converted.manifest.config.digest
    assert engine._brought(promised.request(), layout).image_id == promised.manifest.config.digest
    assert engine._brought(IMAGE.request(), layout).image_id == converted.manifest.config.digest


def test_other_layers_than_dockers_manifest_promised_are_not_taken_for_it(engine: SkopeoEngine, tmp_path: Path) -> None:
    promised, other = Image(DOCKER_MANIFEST), Image(top=b"another", created="2026-01-01T00:00:00Z")
    found = engine._brought(promised.request(), other.layout(tmp_path / "0-1"))
    assert found.image_id != promised.manifest.config.digest


@pytest.mark.parametrize("lost", ["index.json", "config", "layer"])
def test_a_layout_with_something_missing_is_no_image(engine: SkopeoEngine, tmp_path: Path, lost: str) -> None:
    layout = IMAGE.layout(tmp_path / "0-1")
    blobs = {"config": IMAGE.manifest.config, "layer": IMAGE.manifest.layers[1]}
    path = layout / lost if lost not in blobs else layout / "blobs" / blobs[lost].digest.replace(":", "/")
    path.unlink()
    with pytest.raises(CommandFailed, match="skopeo wrote") as raised:
        engine._brought(IMAGE.request(), layout)
    assert raised.value.code is ErrorCode.DIGEST_MISMATCH


@pytest.mark.parametrize("kind", ["containers/image", "containerd"])
def test_a_registry_token_that_a_client_cannot_send_is_refused_before_the_trial(tmp_path: Path, kind: str) -> None:
    auths = {"127.0.0.1:5000": {"registrytoken": "r3gistry-t0ken"}}
    (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
    keychain = Keychain(environ={"DOCKER_CONFIG": str(tmp_path)})
    request = IMAGE.request(credentials="docker")
    with pytest.raises(UsageError, match="a registry token") as caught:
        if kind == "containerd":
            ContainerdEngine(
                EngineEntry(name="ctr", kind="containerd"), keychain=keychain, clock=SystemClock()
            )._check_secret(request.route)
        else:
            write_configuration(tmp_path, [request], keychain)
    assert "r3gistry" not in str(caught.value)
