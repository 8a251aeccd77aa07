"""The JSON of an image (OCI image spec): config, manifest, index. The same arguments give the same bytes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pullbench.lab.layer import Layer
from pullbench.lab.layout import digest_of
from pullbench.model.manifest import OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor
from pullbench.model.platform import Platform

_CREATED = "2024-01-01T00:00:00Z"


def config_json(platform: Platform, layers: Sequence[Layer]) -> bytes:
    """An image's config: what it was built for, and what its layers unpack to."""
    return as_json(
        {
            "created": _CREATED,
            **_named(platform),
            "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": _CREATED, "created_by": "pullbench lab"} for _ in layers],
        }
    )


def manifest_json(config: Descriptor, layers: Sequence[Layer], annotations: Mapping[str, str] | None = None) -> bytes:
    return as_json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": _pointer(config),
            "layers": [_pointer(layer_descriptor(layer)) for layer in layers],
            **({"annotations": dict(annotations)} if annotations else {}),
        }
    )


def index_json(manifests: Sequence[Descriptor], annotations: Mapping[str, str] | None = None) -> bytes:
    """An index of platforms' manifests, whose descriptors name them."""
    return as_json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [_pointer(manifest) for manifest in manifests],
            **({"annotations": dict(annotations)} if annotations else {}),
        }
    )


def layer_descriptor(layer: Layer) -> Descriptor:
    return Descriptor(media_type=OCI_LAYER_GZIP, digest=layer.digest, size_bytes=layer.size_bytes)


def described(media_type: str, content: bytes, platform: Platform | None = None) -> Descriptor:
    """The descriptor of these bytes."""
    return Descriptor(media_type=media_type, digest=digest_of(content), size_bytes=len(content), platform=platform)


def as_json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _pointer(descriptor: Descriptor) -> dict[str, Any]:
    entry = {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size_bytes}
    return entry if descriptor.platform is None else {**entry, "platform": _named(descriptor.platform)}


def _named(platform: Platform) -> dict[str, str]:
    named = {"os": platform.os, "architecture": platform.architecture}
    return named | ({"variant": platform.variant} if platform.variant else {})
