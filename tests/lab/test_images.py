import gzip
import hashlib
import io
import itertools
import json
import tarfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from pullbench.errors import UsageError
from pullbench.lab.contents import LabImage, blob_path, read_images
from pullbench.lab.images import make_images
from pullbench.lab.layer import MIN_LAYER_BYTES, write_layer
from pullbench.model.manifest import Index, Manifest, parse_manifest
from pullbench.model.platform import Platform


def manifest_of(image: LabImage, platform: str) -> Manifest:
    index = parse_manifest(image.index)
    assert isinstance(index, Index)
    entry = index.select(Platform.parse(platform))
    assert entry is not None
    content = image.manifests[entry.digest]
    assert entry.size_bytes == len(content)
    manifest = parse_manifest(content)
    assert isinstance(manifest, Manifest)
    return manifest


def config_of(image: LabImage, platform: str) -> dict[str, Any]:
    content = image.blobs[manifest_of(image, platform).config.digest].read_bytes()
    return dict(json.loads(content))


def test_the_same_seed_gives_the_same_digests_and_another_seed_others(tmp_path: Path) -> None:
    made = [
        make_images(tmp_path / name, seed=seed, count=2, total_bytes=400_000, max_layers=4)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    digests = [[image.digest for image in images] for images in made]
    assert digests[0] == digests[1]
    assert not set(digests[0]) & set(digests[2])
    assert not set(made[0][0].blobs) & set(made[2][0].blobs)


def test_a_seed_means_these_bytes_on_every_machine_and_version(tmp_path: Path) -> None:
    layer = write_layer(tmp_path, seed=(1, 2), size_bytes=3_000_000)
    assert layer.digest == "sha256:686f75ee33a8f0957aca0c2933d20a2ff61f456b7f65161a2c7ef483f805f0cc"
    assert layer.diff_id == "sha256:70277ff7bed1b4cf8467b68bc27e2800b4534b9f275200e58f597d53a2d9ccb4"


def test_every_blob_has_the_digest_and_the_size_that_its_manifest_says(images: tuple[LabImage, ...]) -> None:
    for image in images:
        for content in image.manifests.values():
            manifest = parse_manifest(content)
            assert isinstance(manifest, Manifest)
            for blob in manifest.blobs:
                data = image.blobs[blob.digest].read_bytes()
                assert f"sha256:{hashlib.sha256(data).hexdigest()}" == blob.digest
                assert len(data) == blob.size_bytes


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
def test_layers_unpack_and_the_config_names_their_diff_ids(images: tuple[LabImage, ...], platform: str) -> None:
    for image in images:
        manifest = manifest_of(image, platform)
        tars = [gzip.decompress(image.blobs[layer.digest].read_bytes()) for layer in manifest.layers]
        diff_ids = [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars]
        config = config_of(image, platform)
        assert config["rootfs"] == {"type": "layers", "diff_ids": diff_ids}
        assert f"{config['os']}/{config['architecture']}" == platform
        for tar in tars:
            with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
                assert all(member.isreg() and member.size > 0 for member in archive)
                assert archive.getnames()


def test_platforms_of_an_image_share_no_layer(images: tuple[LabImage, ...]) -> None:
    for image in images:
        amd64, arm64 = (manifest_of(image, platform) for platform in ("linux/amd64", "linux/arm64"))
        assert len(amd64.layers) == len(arm64.layers)
        assert not {layer.digest for layer in amd64.layers} & {layer.digest for layer in arm64.layers}


def test_images_share_base_layers_and_have_layers_of_their_own(images: tuple[LabImage, ...]) -> None:
    sets = [{layer.digest for layer in manifest_of(image, "linux/amd64").layers} for image in images]
    assert any(one & other for one, other in itertools.combinations(sets, 2))
    for own in sets:
        assert own.difference(*(other for other in sets if other is not own))


def test_no_layer_occurs_twice_in_an_image(images: tuple[LabImage, ...]) -> None:
    for image in images:
        layers = [layer.digest for layer in manifest_of(image, "linux/amd64").layers]
        assert len(set(layers)) == len(layers)


def test_content_does_not_compress(tmp_path: Path) -> None:
    layer = write_layer(tmp_path, seed=(1,), size_bytes=500_000)
    assert len(zlib.compress(blob_path(tmp_path, layer.digest).read_bytes())) > 0.97 * layer.size_bytes


@pytest.mark.parametrize("budget", [200_000, 1_000_000, 5_000_000])
def test_the_budget_bounds_what_lies_on_disk_and_is_used(tmp_path: Path, budget: int) -> None:
    make_images(tmp_path, seed=3, count=3, total_bytes=budget, max_layers=6)
    used = sum(path.stat().st_size for path in (tmp_path / "blobs" / "sha256").iterdir())
    assert 0.8 * budget < used <= budget


def test_a_budget_below_the_smallest_layers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="layers take at least"):
        make_images(tmp_path, seed=1, count=3, total_bytes=10_000)


@pytest.mark.parametrize("size", [1, MIN_LAYER_BYTES, 2600, 65_535, 65_600, 2_100_000])
def test_a_layer_is_never_larger_than_asked_and_never_empty(tmp_path: Path, size: int) -> None:
    layer = write_layer(tmp_path, seed=(7,), size_bytes=size)
    assert layer.size_bytes == blob_path(tmp_path, layer.digest).stat().st_size <= max(size, MIN_LAYER_BYTES)
    with tarfile.open(blob_path(tmp_path, layer.digest)) as archive:
        assert archive.getnames()


def test_the_folder_is_an_oci_layout_that_reads_back(tmp_path: Path) -> None:
    made = make_images(tmp_path, seed=1, count=2, total_bytes=300_000, max_layers=4)
    assert read_images(tmp_path) == made
    assert json.loads((tmp_path / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    assert [image.name for image in made] == ["lab/app-1:1.0", "lab/app-2:1.0"]
    assert blob_path(tmp_path / "blobs" / "sha256", made[0].digest).read_bytes() == made[0].index
