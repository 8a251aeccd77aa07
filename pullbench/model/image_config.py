"""What an image's config says (OCI image spec, "Image Configuration"): platform, creation, layers before compression."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pullbench.model.platform import Platform
from pullbench.model.reference import is_digest

_FRACTION = re.compile(r"\.\d+")
# What differs between two builds of one base: digests, timestamps, quoted or bare (`ADD file:1f2e… in /`, `@1731888000`).
_VARYING = re.compile(r"[0-9a-f]{12,}|@\d{6,}")
MAX_STEP_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """What a config states; what it leaves out, or says wrongly, is None or empty."""

    platform: Platform | None = None
    created: datetime | None = None
    """UTC. Reproducible builds state an arbitrary one, often 1970."""
    diff_ids: tuple[str, ...] = ()
    """Digests of the layers as tar, base first: equal for equal content, however it is compressed."""
    base_step: str = ""
    """The step that made the first layer, without the digests and times in it: the same for each version of a base."""
    base_created: datetime | None = None


def parse_image_config(content: bytes) -> ImageConfig:
    """Read a config; what is no config states nothing."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return ImageConfig()
    if not isinstance(document, dict):
        return ImageConfig()
    rootfs = document.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    usable = isinstance(diff_ids, list) and all(isinstance(entry, str) and is_digest(entry) for entry in diff_ids)
    first = _first_step(document.get("history"))
    step = first.get("created_by")
    return ImageConfig(
        platform=_platform(document),
        created=parse_instant(document.get("created")),
        diff_ids=tuple(diff_ids) if usable and diff_ids else (),
        base_step=_VARYING.sub("…", step[:1000])[:MAX_STEP_CHARACTERS] if isinstance(step, str) else "",
        base_created=parse_instant(first.get("created")),
    )


def parse_instant(text: object) -> datetime | None:
    """RFC 3339, to the second, in UTC; None for what is none (Go writes nine digits of a second, and a zero year)."""
    if not isinstance(text, str) or len(text) > 40:
        return None
    try:
        found = datetime.fromisoformat(_FRACTION.sub("", text))
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found if found.year > 1 else None


def _first_step(history: object) -> dict[str, Any]:
    """The history's first entry that made a layer."""
    for entry in history if isinstance(history, list) else ():
        if isinstance(entry, dict) and not entry.get("empty_layer"):
            return entry
    return {}


def _platform(document: dict[str, Any]) -> Platform | None:
    os, architecture, variant = (document.get(key) for key in ("os", "architecture", "variant"))
    if not (isinstance(os, str) and isinstance(architecture, str) and os and architecture):
        return None
    return Platform(os=os, architecture=architecture, variant=variant if isinstance(variant, str) and variant else None)
