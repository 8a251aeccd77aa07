"""layer-reuse: what is shared, and what comes twice."""

from datetime import UTC, datetime
from typing import Any

from pullbench.model.finding import Finding, Status
from pullbench.preflight.check import Target
from pullbench.preflight.checks import layer_reuse
from pullbench.preflight.checks.layer_reuse import ImageLayers, StoredLayer
from tests.preflight.content import Image, context_of, findings_of, holding, spec_over
from tests.preflight.contexts import ROUTE
from tests.registry.fake_registry import FakeRegistry

MB = 1_000_000
STEPS = '/bin/sh -c #(nop) ADD file:… in / | CMD ["bash"]'


def layer(name: str, size_mb: int = 10, diff_id: str | None = None) -> StoredLayer:
    return StoredLayer(digest=name, size_bytes=size_mb * MB, diff_id=diff_id or f"diff-{name}")


def built(image: str, *layers: StoredLayer, platform: str = "linux/amd64", **more: Any) -> ImageLayers:
    return ImageLayers(image=image, platform=platform, layers=layers, **more)


def judged(*images: ImageLayers) -> Finding:
    (found,) = layer_reuse.judge(images, Target(route=ROUTE))
    return found


def test_a_shared_base_passes_with_its_size_and_the_bytes_that_it_saves() -> None:
    found = judged(
        built("web:1", layer("base", 50), layer("libc", 10), layer("web", 5)),
        built("api:1", layer("base", 50), layer("libc", 10), layer("api", 5)),
    )
    assert found.status is Status.PASS
    for part in ("130 MB", "70.0 MB unique (46% shared)", "web:1, api:1", "2 layers, 60.0 MB"):
        assert part in found.observed


def test_images_that_share_nothing_pass_and_say_so() -> None:
    found = judged(built("web:1", layer("a")), built("api:1", layer("b")))
    assert (found.status, "no two images" in found.observed) == (Status.PASS, True)


def test_platforms_are_counted_apart() -> None:
    found = judged(built("a:1", layer("x", 10)), built("a:1", layer("y", 20), platform="linux/arm64"))
    assert "linux/amd64 10.0 MB, linux/arm64 20.0 MB" in found.observed
    assert found.observed.startswith("1 image, ")


def test_the_same_content_compressed_differently_is_a_warning() -> None:
    found = judged(
        built("web:1", layer("gzip", 50, "same"), layer("w", 5)),
        built("api:1", layer("zstd", 40, "same"), layer("a", 5)),
    )
    assert found.status is Status.WARN
    assert "40.0 MB" in found.observed
    assert "web:1 and api:1" in found.observed
    assert "force-compression=true" in found.remedy
    assert f"`docker manifest inspect -v {ROUTE.host}/web:1`" in found.remedy


def test_two_versions_of_one_base_are_a_warning_with_their_dates() -> None:
    first: dict[str, Any] = {"base_steps": STEPS, "base_created": datetime(2026, 10, 1, tzinfo=UTC)}
    second: dict[str, Any] = {"base_steps": STEPS, "base_created": datetime(2026, 11, 1, tzinfo=UTC)}
    found = judged(
        built("web:1", layer("debian-1", 50), layer("w", 5), **first),
        built("api:1", layer("debian-2", 50), layer("a", 5), **second),
        built("job:1", layer("debian-2", 50), layer("j", 5), **second),
    )
    assert found.status is Status.WARN
    assert "2 versions of 2026-10-01 and 2026-11-01" in found.observed
    assert "FROM base@sha256:" in found.remedy


def test_bases_of_different_platforms_or_without_a_telling_history_are_not_compared() -> None:
    found = judged(
        built("web:1", layer("a", 50), base_steps=STEPS),
        built("web:1", layer("b", 50), base_steps=STEPS, platform="linux/arm64"),
        built("api:1", layer("c", 50)),
        built("job:1", layer("d", 50)),
    )
    assert found.status is Status.PASS


def test_a_recompressed_base_is_counted_once() -> None:
    found = judged(
        built("web:1", layer("gzip", 50, "same"), base_steps=STEPS),
        built("api:1", layer("zstd", 50, "same"), base_steps=STEPS),
    )
    assert found.observed.count("twice for") == 1


def test_little_that_comes_twice_is_told_and_passes() -> None:
    found = judged(
        built("web:1", layer("big", 500), layer("gzip", 1, "same")),
        built("api:1", layer("big", 500), layer("zstd", 1, "same")),
    )
    assert found.status is Status.PASS
    assert "1.00 MB downloaded twice" in found.observed


def test_no_image_is_not_run() -> None:
    assert judged().status is Status.SKIP


def test_layers_whose_content_the_config_does_not_tell_are_not_guessed() -> None:
    blank = StoredLayer(digest="a", size_bytes=MB), StoredLayer(digest="b", size_bytes=MB)
    assert "twice" not in judged(built("web:1", blank[0]), built("api:1", blank[1])).observed


def test_a_registry_is_looked_at_once_on_its_most_direct_way() -> None:
    registry: FakeRegistry = holding("app", "1.0", Image(layers=(b"one", b"two")))
    spec = spec_over(
        "eu",
        proxies=[{"name": "cache", "kind": "mirror", "upstream": "eu", "url": "https://cache.example"}],
        matrix={"platforms": ["linux/amd64"], "proxies": ["cache", "direct"]},
        images=["app:1.0", "nope:1"],
    )
    (found,) = findings_of(layer_reuse.CHECK, context_of({"eu": registry}, spec))
    assert (found.target, found.status) == ("eu", Status.PASS)
    assert found.observed.startswith("1 image, 6 B") and "0% shared" in found.observed
