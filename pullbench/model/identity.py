"""Whether the image in a client's store is the one that the plan chose."""

from pullbench.errors import ErrorCode
from pullbench.model.facts import PlatformImage
from pullbench.model.platform import Platform


def wrong_image(
    expected: PlatformImage,
    wanted: Platform,
    *,
    image_id: str,
    platform: Platform | None,
    program: str,
    promised: str | None = None,
) -> tuple[ErrorCode, str] | None:
    """The error of a pull that brought another image; None if it is the right one.

    `image_id` identifies the pulled image, and `promised` the right one: by default by the digest of the config. `platform` is
    what the config says, None for nothing. An image that an index lists is right by its ID alone: many configs name no
    platform, or a wrong one. Clients pull an image without an index for any platform, so there os and architecture count.
    """
    promised = promised or expected.manifest.config.digest
    if image_id != promised:
        fits = platform is None or wanted.accepts(platform)
    else:
        fits = platform is None or expected.listing is not None or wanted.is_alike(platform)
    if not fits:
        return ErrorCode.PLATFORM_MISSING, f"requested {wanted}, but {program} pulled an image for {platform}"
    if image_id != promised:
        return ErrorCode.DIGEST_MISMATCH, f"{program} pulled the image {image_id}, but the manifest has {promised}"
    return None
