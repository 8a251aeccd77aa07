"""Images as streams: what they say of themselves is what their bytes are, and no layer is ever whole in memory."""

import gzip
import hashlib
import io
import json
import tarfile
import tracemalloc
import zlib
from typing import Any

import pytest

from pullbench.errors import UsageError
from pullbench.lab.images import workload_images
from pullbench.model.manifest import Index, Manifest, parse_manifest
from pullbench.model.upload import Blob, BuiltImage, SyntheticImage
from pullbench.model.workload import MB, RECIPE_ANNOTATION, WORKLOAD_ANNOTATION, Preset, make_workload


def images(preset: Preset = "realistic", **options: Any) -> tuple[SyntheticImage, ...]:
    chosen = {"seed": 1, "platforms": ["linux/amd64"], "count": 3, "total_bytes": 5 * MB, **options}
    return workload_images(make_workload(preset, **chosen), repository="bench", tag="seed-1")


def content(blob: Blob) -> bytes:
    return b"".join(blob.pieces())


def annotations(built: BuiltImage) -> dict[str, str]:
    return dict(json.loads(built.tagged.content)["annotations"])


def test_every_blob_has_the_digest_and_size_of_its_descriptor_each_time_it_is_sent() -> None:
    for image in images(share=0.5):
        for blob in image.build().blobs:
            data = content(blob)
            assert f"sha256:{hashlib.sha256(data).hexdigest()}" == blob.descriptor.digest
            assert len(data) == blob.descriptor.size_bytes
            assert content(blob) == data


def test_layers_unpack_and_the_config_names_what_they_unpack_to() -> None:
    for image in images():
        built = image.build()
        manifest = parse_manifest(built.tagged.content)
        assert isinstance(manifest, Manifest)
        blobs = {blob.descriptor.digest: content(blob) for blob in built.blobs}
        tars = [gzip.decompress(blobs[layer.digest]) for layer in manifest.layers]
        config = json.loads(blobs[manifest.config.digest])
        assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars]
        assert (config["os"], config["architecture"]) == ("linux", "amd64")
        for tar in tars:
            with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
                assert archive.getnames()


def test_several_platforms_make_an_index_of_manifests_that_share_no_layer() -> None:
    built = images(platforms=["linux/amd64", "linux/arm/v7"])[0].build()
    index = parse_manifest(built.tagged.content)
    assert isinstance(index, Index)
    assert [str(platform) for platform in index.platforms] == ["linux/amd64", "linux/arm/v7"]
    assert [entry.digest for entry in index.manifests] == [one.descriptor.digest for one in built.manifests]
    layers = [{layer.digest for layer in parse_manifest(one.content).layers} for one in built.manifests]  # type: ignore[union-attr]
    assert layers[0] and not layers[0] & layers[1]


@pytest.mark.parametrize("platforms", [["linux/amd64"], ["linux/amd64", "linux/arm64"]])
def test_what_is_tagged_says_that_it_is_ours_and_from_which_recipe(platforms: list[str]) -> None:
    for image in images(platforms=platforms):
        assert annotations(image.build()) == {WORKLOAD_ANNOTATION: "realistic seed 1", RECIPE_ANNOTATION: image.recipe}


def test_equal_recipes_make_equal_bytes_and_others_others() -> None:
    one, same, other = images(), images(), images(seed=2)
    digests = [[image.build().tagged.descriptor.digest for image in made] for made in (one, same, other)]
    assert digests[0] == digests[1]
    assert [image.recipe for image in one] == [image.recipe for image in same]
    assert not set(digests[0]) & set(digests[2])


def test_images_share_layers_by_digest_as_the_workload_says() -> None:
    made = [image.build() for image in images("zb", count=3, layers=2, share=0.5, total_bytes=None)]
    layers = [{blob.descriptor.digest for blob in built.blobs} for built in (made[0], made[2])]
    assert len(layers[0] & layers[1]) == 1


def test_an_image_has_the_size_that_was_promised_and_does_not_compress() -> None:
    image = images("zb", count=2, total_bytes=20 * MB)[1]
    data = content(max(image.build().blobs, key=lambda blob: blob.descriptor.size_bytes))
    assert image.size_bytes == MB
    assert 0.999 * MB < len(data) <= MB
    assert len(zlib.compress(data)) > 0.98 * len(data)


def test_no_layer_is_ever_whole_in_memory() -> None:
    (image,) = images("zb", count=1, layers=1, total_bytes=None)  # one layer of 10 MB
    tracemalloc.start()
    try:
        built = image.build()
        layer = max(built.blobs, key=lambda blob: blob.descriptor.size_bytes)
        sent = sum(len(piece) for piece in layer.pieces())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sent > 9.9 * MB
    assert peak < 6 * MB


def test_repository_and_tag_are_refused_before_anything_is_made() -> None:
    workload = make_workload("zb", seed=1, platforms=["linux/amd64"], count=1)
    with pytest.raises(UsageError, match="'Not A Name/zb-1-10mb' is not a repository name"):
        workload_images(workload, repository="Not A Name", tag="v1")
