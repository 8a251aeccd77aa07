"""Synthetic twins: the shape of the spec's images, and nothing that a mirror may have."""

from pullbench.lab.synthetic import images_at
from pullbench.model.facts import PlatformImage
from pullbench.model.manifest import OCI_INDEX, Descriptor, Manifest
from pullbench.model.reference import Reference
from pullbench.model.twin import Original, twins
from pullbench.model.upload import BuiltImage


def original(name: str, *layers: tuple[str, int], is_index: bool = True) -> Original:
    blobs = tuple(Descriptor(media_type="", digest=f"sha256:{digest * 64}", size_bytes=size) for digest, size in layers)
    config = Descriptor(media_type="", digest=f"sha256:{'c' * 64}", size_bytes=10)
    manifest = Manifest(media_type="", config=config, layers=blobs)
    return Original(image=name, is_index=is_index, found=PlatformImage(digest=f"sha256:{'0' * 64}", manifest=manifest))


PULLS = [
    original("one", ("a", 5000), ("b", 9000)),
    original("two", ("a", 5000), ("d", 100), is_index=False),
    original("one", ("a", 5000), ("b", 9000)),
]


def built(seed: int) -> list[BuiltImage]:
    workload = twins(PULLS, platform="linux/arm64", seed=seed)
    references = [Reference(repository="r", tag=str(number)) for number in range(len(PULLS))]
    return [image.build() for image in images_at(workload, references)]


def layers(image: BuiltImage) -> list[tuple[str, int]]:
    """Without the config, which comes last."""
    return [(blob.descriptor.digest, blob.descriptor.size_bytes) for blob in image.blobs[:-1]]


def test_a_twin_has_as_many_layers_of_the_same_sizes() -> None:
    one, two, _ = built(1)
    wanted = [5000, 9000, 5000, 2076]  # the last for 100 bytes: the least that a layer takes
    found = [size for _, size in (*layers(one), *layers(two))]
    assert all(0 <= want - size < 1024 for want, size in zip(wanted, found, strict=True)), found


def test_images_that_share_a_layer_have_twins_that_share_one() -> None:
    one, two, _ = built(1)
    assert layers(one)[0] == layers(two)[0]


def test_an_image_that_is_pulled_again_shares_nothing_with_its_first_twin() -> None:
    first, _, again = built(1)
    assert [size for _, size in layers(first)] == [size for _, size in layers(again)]
    assert not {digest for digest, _ in layers(first)} & {digest for digest, _ in layers(again)}
    assert first.tagged.descriptor.digest != again.tagged.descriptor.digest


def test_another_seed_shares_no_digest() -> None:
    digests = [
        {blob.descriptor.digest for image in built(seed) for blob in image.blobs}
        | {document.descriptor.digest for image in built(seed) for document in (image.tagged, *image.manifests)}
        for seed in (1, 2)
    ]
    assert not digests[0] & digests[1]


def test_an_index_has_a_twin_that_is_one_though_it_has_one_platform() -> None:
    one, two, _ = built(1)
    assert one.tagged.descriptor.media_type == OCI_INDEX and len(one.manifests) == 1
    assert two.tagged.descriptor.media_type != OCI_INDEX and two.manifests == ()


def test_what_is_to_be_pushed_counts_a_shared_layer_once() -> None:
    assert twins(PULLS, platform="linux/arm64", seed=1).size_bytes == 5000 + 9000 + 2076 + 5000 + 9000
