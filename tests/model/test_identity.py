"""A pulled image is the plan's by the digest of its config."""

import pytest

from pullbench.errors import ErrorCode
from pullbench.model.facts import Listing, PlatformImage
from pullbench.model.identity import wrong_image
from pullbench.model.manifest import OCI_CONFIG, OCI_MANIFEST, Descriptor, Manifest
from pullbench.model.platform import Platform

PROMISED, OTHER = f"sha256:{1:064x}", f"sha256:{2:064x}"
MANIFEST = Manifest(
    media_type=OCI_MANIFEST,
    config=Descriptor(media_type=OCI_CONFIG, digest=PROMISED, size_bytes=2),
    layers=(),
)
SINGLE = PlatformImage(digest=OTHER, manifest=MANIFEST)
LISTED = PlatformImage(digest=OTHER, manifest=MANIFEST, listing=Listing(platform=Platform.parse("linux/amd64")))


def code(expected: PlatformImage, image_id: str, platform: str | None) -> ErrorCode | None:
    named = None if platform is None else Platform.parse(platform)
    wrong = wrong_image(expected, Platform.parse("linux/amd64"), image_id=image_id, platform=named, program="ctr")
    return None if wrong is None else wrong[0]


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/s390x", None])
def test_an_image_that_an_index_lists_is_right_whatever_its_config_says(platform: str | None) -> None:
    assert code(LISTED, PROMISED, platform) is None


@pytest.mark.parametrize(
    ("platform", "wrong"), [("linux/amd64", None), (None, None), ("linux/s390x", ErrorCode.PLATFORM_MISSING)]
)
def test_without_an_index_the_config_s_platform_counts(platform: str | None, wrong: ErrorCode | None) -> None:
    assert code(SINGLE, PROMISED, platform) is wrong


@pytest.mark.parametrize("expected", [SINGLE, LISTED])
def test_another_image_is_of_another_platform_or_else_a_mismatch(expected: PlatformImage) -> None:
    assert code(expected, OTHER, "linux/amd64") is ErrorCode.DIGEST_MISMATCH
    assert code(expected, OTHER, None) is ErrorCode.DIGEST_MISMATCH
    assert code(expected, OTHER, "linux/arm64") is ErrorCode.PLATFORM_MISSING
