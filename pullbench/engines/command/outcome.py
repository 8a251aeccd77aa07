"""From what a client left in its store to a pull's figures. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pullbench.engines.base import PullOutcome, PullRequest
from pullbench.errors import ErrorCode
from pullbench.model.platform import Platform


class CommandFailed(Exception):  # noqa: N818  (a result between the base and its engines, not an error of theirs)
    """What the client was asked could not be had: a code of the closed list, and a line for people."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What stands in a store after a pull."""

    image_id: str
    """Digest of the image's config."""
    platform: Platform
    layers: Mapping[str, int | None]
    """Digest → size as it came, of every layer in the store; None where the client does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt of a pull: the client says that it succeeded, or it has a code. `ended` is the monotonic second of its end."""

    ended: float
    store: Path
    code: ErrorCode | None = None
    error: str | None = None
    extract_s: float | None = None


def verify(request: PullRequest, brought: Brought, program: str) -> None:
    """Hold what came against what was asked; raises CommandFailed.

    Some clients take an image that is no index for any platform, so their word is not enough.
    """
    asked, promised = Platform.parse(request.platform), request.expected.manifest
    if not asked.accepts(brought.platform):
        raise CommandFailed(
            ErrorCode.PLATFORM_MISSING, f"asked for {asked}, {program} brought an image for {brought.platform}"
        )
    if brought.image_id != promised.config.digest:
        raise CommandFailed(
            ErrorCode.DIGEST_MISMATCH,
            f"{program} brought the image {brought.image_id}, the manifest promised {promised.config.digest}",
        )
    for layer in promised.layers:
        if layer.digest not in brought.layers:
            raise CommandFailed(
                ErrorCode.DIGEST_MISMATCH,
                f"{program} said that all is there, and its store lacks the layer {layer.digest}",
            )


def outcome(
    request: PullRequest,
    last: Attempt,
    brought: Brought | None,
    *,
    held: frozenset[str],
    attempts: int,
    duration_s: float,
    reads_config_again: bool,
) -> PullOutcome:
    """The figures of a pull that has ended. `held` is what its store held before; what nobody can know is None."""
    if brought is None:
        return PullOutcome(ok=False, error_code=last.code, error=last.error, attempts=attempts, duration_s=duration_s)
    manifest = request.expected.manifest
    came = {layer.digest: brought.layers[layer.digest] for layer in manifest.layers if layer.digest not in held}
    if reads_config_again or manifest.config.digest not in held:
        came[manifest.config.digest] = manifest.config.size_bytes
    sizes = [size for size in came.values() if size is not None]
    # What attempts that failed received is not known, nor what a client brought and does not tell the size of.
    known = attempts == 1 and len(sizes) == len(came)
    return PullOutcome(
        ok=True,
        attempts=attempts,
        bytes=sum(sizes) if known else None,
        layers=len(manifest.layers),
        layers_cached=sum(layer.digest in held for layer in manifest.layers),
        layers_shared=0,  # a store is one pull's alone
        extract_s=last.extract_s,
        duration_s=duration_s,
    )
