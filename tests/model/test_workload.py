"""Workloads: the presets' sizes, counts and sharing, the same for a seed, and never more than asked for."""

from collections import Counter
from typing import Any

import pytest

from pullbench.errors import UsageError
from pullbench.lab import layer
from pullbench.lab.images import images_at
from pullbench.model.facts import PlatformImage
from pullbench.model.manifest import OCI_INDEX, Descriptor, Manifest
from pullbench.model.reference import Reference
from pullbench.model.upload import BuiltImage
from pullbench.model.workload import (
    LAYER_BYTES,
    LAYER_COUNT,
    MB,
    MIN_LAYER_BYTES,
    PRESETS,
    ImageShape,
    Preset,
    SourceImage,
    Workload,
    make_workload,
    quantile,
    realistic_images,
    workload_like,
)

AMD64, BOTH = ["linux/amd64"], ["linux/amd64", "linux/arm64"]


def made(preset: Preset = "zb", **options: Any) -> Workload:
    return make_workload(preset, **{"seed": 1, "platforms": AMD64, **options})


def keys(images: tuple[ImageShape, ...]) -> list[set[tuple[int, ...]]]:
    return [{one.key for one in image.layers} for image in images]


def test_zb_is_a_fifth_of_1_mb_seven_tenths_of_10_mb_and_a_tenth_of_100_mb_in_one_layer() -> None:
    images = made("zb", count=100).images
    assert Counter(image.size_bytes // MB for image in images) == {1: 20, 10: 70, 100: 10}
    assert {len(image.layers) for image in images} == {1}


def test_spegel_is_each_size_in_one_and_in_four_layers() -> None:
    images = made("spegel").images
    assert [(image.size_bytes // MB, len(image.layers)) for image in images] == [
        (10, 1),
        (10, 4),
        (100, 1),
        (100, 4),
        (1000, 1),
        (1000, 4),
    ]


def test_realistic_follows_the_crawl_where_the_budget_allows() -> None:
    images = made("realistic", count=400, total_bytes=10**13, share=0.0).images
    counts = sorted(len(image.layers) for image in images)
    sizes = sorted(one.size_bytes for image in images for one in image.layers)
    assert counts[200] == pytest.approx(9, abs=1)
    assert counts[300] == pytest.approx(14, abs=1)
    assert sizes[len(sizes) // 4] == MIN_LAYER_BYTES  # the crawl's 627 bytes hold no tar
    assert sizes[len(sizes) // 2] == pytest.approx(474e3, rel=0.3)
    assert sizes[len(sizes) * 9 // 10] == pytest.approx(75e6, rel=0.3)


def test_the_distributions_hold_the_points_that_they_are_made_of() -> None:
    assert [round(quantile(LAYER_BYTES, share)) for share in (0.25, 0.5, 0.9)] == [627, 474_000, 75_000_000]
    assert [round(quantile(LAYER_COUNT, share)) for share in (0.5, 0.75, 1.0)] == [9, 14, 40]
    assert 627 < quantile(LAYER_BYTES, 0.4) < 474_000


@pytest.mark.parametrize("preset", PRESETS)
def test_a_seed_means_the_same_images_and_another_seed_others(preset: Preset) -> None:
    one, same, other = made(preset), made(preset), made(preset, seed=2)
    assert one == same
    recipes = [{workload.recipe(image) for image in workload.images} for workload in (one, other)]
    assert not recipes[0] & recipes[1]


def test_a_recipe_changes_with_all_that_changes_the_bytes() -> None:
    workloads = [made(), made(seed=2), made("spegel"), made(platforms=BOTH), made(layers=2), made(platforms=BOTH[::-1])]
    assert len({workload.recipe(workload.images[0]) for workload in workloads}) == len(workloads)


@pytest.mark.parametrize("preset", ["zb", "spegel"])
def test_more_images_of_a_fixed_preset_leave_the_first_ones_as_they_were(preset: Preset) -> None:
    few, many = (made(preset, count=count, share=0.5).images for count in (4, 9))
    assert many[:4] == few


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("total", [150 * MB, 2_000 * MB])
@pytest.mark.parametrize("platforms", [AMD64, BOTH])
def test_the_total_bounds_what_a_registry_stores_and_is_used(preset: Preset, total: int, platforms: list[str]) -> None:
    workload = made(preset, total_bytes=total, platforms=platforms)
    assert 0.1 * total < workload.size_bytes <= total
    assert workload.images


def test_a_layer_counts_once_towards_the_total_however_many_images_share_it() -> None:
    shared = made("zb", count=20, layers=1, share=1.0)
    assert shared.size_bytes < 0.7 * sum(image.size_bytes for image in shared.images)
    assert made("zb", count=20, share=1.0, total_bytes=shared.size_bytes).images == shared.images


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_a_share_of_each_images_layers_comes_from_common_bases(preset: Preset, share: float) -> None:
    images = made(preset, count=200, layers=4, share=share, total_bytes=10**12).images
    users = Counter(key for image in keys(images) for key in image)
    from_bases = [key for image in keys(images) for key in image if key[0] % 2 == 0]
    assert len(from_bases) / users.total() == pytest.approx(share, abs=0.03)
    # The rest stands on a base that no other image came to take.
    assert sum(users[key] > 1 for key in from_bases) >= 0.75 * len(from_bases)


def test_a_few_bases_are_shared_by_many_images_and_most_by_few() -> None:
    images = made("realistic", count=400, share=0.2, total_bytes=10**12).images
    users = Counter(image.layers[0].key for image in images if len(image.layers) > 5).most_common()
    assert users[0][1] > 30
    assert users[len(users) // 2][1] <= 5


@pytest.mark.parametrize("preset", PRESETS)
def test_no_layer_occurs_twice_in_an_image_and_one_key_has_one_size(preset: Preset) -> None:
    images = made(preset, count=40, share=0.5, total_bytes=10**12).images
    assert all(len(found) == len(image.layers) for found, image in zip(keys(images), images, strict=True))
    sizes: dict[tuple[int, ...], set[int]] = {}
    for image in images:
        for one in image.layers:
            sizes.setdefault(one.key, set()).add(one.size_bytes)
    assert {len(found) for found in sizes.values()} == {1}


def test_presets_of_one_seed_share_no_layer() -> None:
    found = [set().union(*keys(made(preset, share=0.5).images)) for preset in PRESETS]
    assert not found[0] & found[1] and not found[1] & found[2] and not found[0] & found[2]


def test_platforms_of_a_workload_grow_from_different_seeds() -> None:
    workload = made(platforms=BOTH)
    first = workload.images[0].layers[0]
    assert workload.layer_seed(0, first) != workload.layer_seed(1, first)


def test_realistic_takes_no_more_layers_than_asked() -> None:
    assert max(len(image.layers) for image in made("realistic", count=30, layers=5).images) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count: 0 is not between 1 and 10000"),
        ({"seed": -1}, "seed: -1 is not between 0 and"),
        ({"layers": 121}, "layers: 121 is not between 1 and 120"),
        ({"share": 1.5}, "share: 1.5 is not between 0 and 1"),
        ({"platforms": []}, "platform: none is given"),
        ({"platforms": ["linux/amd64"] * 2}, "platform: linux/amd64 is listed twice"),
        ({"total_bytes": 5 * MB}, "size: 1 images of zb take more than 5.00 MB a platform; 0 fit"),
        ({"total_bytes": 15 * MB, "count": 3}, "size: 3 images of zb take more than 15.0 MB a platform; 2 fit"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        made(**options)
    assert str(caught.value).startswith(message)


def test_a_total_below_the_smallest_layers_is_refused_with_what_they_take() -> None:
    with pytest.raises(UsageError, match=r"size: \d+ layers take at least .* a platform, and 1.00 kB are allowed"):
        realistic_images(1, 3, 1000, max_layers=5, share=0.2)


def test_the_least_layer_is_what_the_generator_needs_for_one() -> None:
    assert layer.MIN_LAYER_BYTES == MIN_LAYER_BYTES


def original(name: str, *layers: tuple[str, int], is_index: bool = True) -> SourceImage:
    blobs = tuple(Descriptor(media_type="", digest=f"sha256:{digest * 64}", size_bytes=size) for digest, size in layers)
    config = Descriptor(media_type="", digest=f"sha256:{'c' * 64}", size_bytes=10)
    manifest = Manifest(media_type="", config=config, layers=blobs)
    return SourceImage(
        image=name, is_index=is_index, found=PlatformImage(digest=f"sha256:{'0' * 64}", manifest=manifest)
    )


PULLS = [
    original("one", ("a", 5000), ("b", 9000)),
    original("two", ("a", 5000), ("d", 100), is_index=False),
    original("one", ("a", 5000), ("b", 9000)),
]


def built(seed: int) -> list[BuiltImage]:
    workload = workload_like(PULLS, platform="linux/arm64", seed=seed)
    references = [Reference(repository="r", tag=str(number)) for number in range(len(PULLS))]
    return [image.build() for image in images_at(workload, references)]


def layers(image: BuiltImage) -> list[tuple[str, int]]:
    """Without the config, which comes last."""
    return [(blob.descriptor.digest, blob.descriptor.size_bytes) for blob in image.blobs[:-1]]


def test_a_synthetic_copy_has_as_many_layers_of_the_same_sizes() -> None:
    one, two, _ = built(1)
    wanted = [5000, 9000, 5000, 2076]  # the last for 100 bytes: the least that a layer takes
    found = [size for _, size in (*layers(one), *layers(two))]
    assert all(0 <= want - size < 1024 for want, size in zip(wanted, found, strict=True)), found


def test_images_that_share_a_layer_have_copies_that_share_one() -> None:
    one, two, _ = built(1)
    assert layers(one)[0] == layers(two)[0]


def test_an_image_that_is_pulled_again_shares_nothing_with_its_first_copy() -> None:
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


def test_an_index_has_a_copy_that_is_one_though_it_has_one_platform() -> None:
    one, two, _ = built(1)
    assert one.tagged.descriptor.media_type == OCI_INDEX and len(one.manifests) == 1
    assert two.tagged.descriptor.media_type != OCI_INDEX and two.manifests == ()


def test_what_is_to_be_pushed_counts_a_shared_layer_once() -> None:
    assert workload_like(PULLS, platform="linux/arm64", seed=1).size_bytes == 5000 + 9000 + 2076 + 5000 + 9000
