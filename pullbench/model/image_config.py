"""An image's config (OCI image spec, "Image Configuration"): platform, creation time, uncompressed layers."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pullbench.model.platform import Platform
from pullbench.model.reference import is_digest

_FRACTION = re.compile(r"\.\d+")
# The parts that differ between versions of one base: `ADD file:1f2e… in /`, `'@1731888000'`, `alpine-minirootfs-3.20.3-…`.
_VARYING = re.compile(r"[0-9a-f]{12,}|@\d{6,}|\d+(?:\.\d+)+")
_NAMELESS = re.compile(r"(?:/bin/sh -c #\(nop\) )?(?:ADD|COPY) (?!alpine|.*rootfs)", re.IGNORECASE)
_CMD = re.compile(r"(?:/bin/sh -c #\(nop\) +)?CMD\b")
MAX_STEP_CHARACTERS = 200
MAX_STEPS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """The values in a config; missing or invalid ones are None or empty."""

    platform: Platform | None = None
    created: datetime | None = None
    """In UTC. Reproducible builds set an arbitrary one, often 1970."""
    diff_ids: tuple[str, ...] = ()
    """Digests of the uncompressed layers, base first: equal for equal content with any compression."""
    base_steps: str = ""
    """The build steps of the base up to its CMD, without digests, times and versions: equal for all versions of one base.

    Empty if the history has too little: `COPY … /` alone may be any image.
    """
    base_created: datetime | None = None


def parse_image_config(content: bytes) -> ImageConfig:
    """Read a config; an invalid one gives an empty result."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return ImageConfig()
    if not isinstance(document, dict):
        return ImageConfig()
    rootfs = document.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    usable = isinstance(diff_ids, list) and all(isinstance(entry, str) and is_digest(entry) for entry in diff_ids)
    steps, first = _base(document.get("history"))
    return ImageConfig(
        platform=platform_of(document),
        created=parse_instant(document.get("created")),
        diff_ids=tuple(diff_ids) if usable and diff_ids else (),
        base_steps=steps,
        base_created=parse_instant(first.get("created")),
    )


def parse_instant(text: object) -> datetime | None:
    """RFC 3339, to the second, in UTC; None if invalid (Go writes nine decimals, and a zero year)."""
    if not isinstance(text, str) or len(text) > 40:
        return None
    try:
        found = datetime.fromisoformat(_FRACTION.sub("", text))
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found if found.year > 1 else None


def _base(history: object) -> tuple[str, dict[str, Any]]:
    """The steps up to the first layer and from there to the first CMD, and the step that created that layer."""
    steps: list[str] = []
    first: dict[str, Any] = {}
    for entry in history[:MAX_STEPS] if isinstance(history, list) else ():
        if not isinstance(entry, dict) or (first and not entry.get("empty_layer")):
            break
        if not entry.get("empty_layer"):
            first = entry
        text = str(entry.get("created_by") or "")[:1000]
        steps.append(_VARYING.sub("…", text)[:MAX_STEP_CHARACTERS].strip())
        if first and _CMD.match(text):
            break
    telling = bool(first) and (len(steps) > 1 or not _NAMELESS.match(steps[0]))
    return (" | ".join(steps) if telling and any(steps) else ""), first


def platform_of(document: Mapping[str, Any]) -> Platform | None:
    """The platform in a config's JSON; None unless it names os and architecture."""
    os, architecture, variant = (document.get(key) for key in ("os", "architecture", "variant"))
    if not (isinstance(os, str) and isinstance(architecture, str) and os and architecture):
        return None
    return Platform(os=os, architecture=architecture, variant=variant if isinstance(variant, str) and variant else None)
