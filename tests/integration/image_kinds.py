"""Images of the kinds that registries have today, small, and of nobody else's blobs."""

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.debian_images import BuiltIndex, DebianBlob, DebianImage, DebianImages, small_image
from pullbench.model.manifest import OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST
from pullbench.model.platform import Platform

AMD64 = Platform.parse("linux/amd64")
_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
_IN_TOTO = "application/vnd.in-toto+json"
_UNKNOWN = {"architecture": "unknown", "os": "unknown"}
Made = DebianImage | BuiltIndex


def random_tar(marker: str, size_bytes: int) -> bytes:
    """A tar of one file that does not compress, and is always the same for a marker."""
    content = b"".join(hashlib.sha256(f"{marker}-{part}".encode()).digest() for part in range(size_bytes // 32))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        entry = tarfile.TarInfo(f"pullbench-marker-{marker}")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def image_of(tars: list[bytes], compress: Callable[[bytes], bytes], media_type: str) -> DebianImage:
    """An image for linux/amd64 of these layers."""
    layers = [DebianBlob.of(media_type, compress(tar)) for tar in tars]
    diff_ids = [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/bin/true"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": f"a step of a long history, number {number}" * 4} for number in range(len(tars))],
    }
    return _with_manifest(DebianBlob.of(OCI_CONFIG, _json(config)), layers)


def sized(marker: str, layers: int = 3, size_bytes: int = 2_000_000) -> DebianImage:
    """Layers that take a moment."""
    tars = [random_tar(f"{marker}-{number}", size_bytes) for number in range(layers)]
    return image_of(tars, lambda tar: gzip.compress(tar, 1, mtime=0), OCI_LAYER_GZIP)


def zstd(marker: str) -> DebianImage:
    tars = [random_tar(f"{marker}-{number}", 400_000) for number in range(2)]
    return image_of(tars, _zstd, _ZSTD)


def attested(marker: str) -> BuiltIndex:
    """An index as buildx writes it: an image, and the attestation of its provenance as another manifest."""
    image = sized(marker, layers=2, size_bytes=100_000)
    statement = DebianBlob.of(_IN_TOTO, _json({"_type": "https://in-toto.io/Statement/v0.1", "subject": marker}))
    config = {**_UNKNOWN, "config": {}, "rootfs": {"type": "layers", "diff_ids": [statement.digest]}}
    attestation = _with_manifest(DebianBlob.of(OCI_CONFIG, _json(config)), [statement])
    about = {
        "vnd.docker.reference.digest": image.manifest.digest,
        "vnd.docker.reference.type": "attestation-manifest",
    }
    entries = [
        {**image.manifest.descriptor(), "platform": {"architecture": "amd64", "os": "linux"}},
        {**attestation.manifest.descriptor(), "annotations": about, "platform": _UNKNOWN},
    ]
    index = DebianBlob.of(OCI_INDEX, _json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}))
    return BuiltIndex(index=index, platforms={"linux/amd64": image, "unknown/unknown": attestation})


def duplicated(marker: str) -> DebianImage:
    """Its first layer is there three times."""
    first, second = (random_tar(f"{marker}-{number}", 100_000) for number in range(2))
    return image_of([first, second, first, first], lambda tar: gzip.compress(tar, 1, mtime=0), OCI_LAYER_GZIP)


def layered(marker: str, layers: int = 100) -> DebianImage:
    return small_image(AMD64, *(f"{marker}-{number}" for number in range(layers)))


KINDS: Mapping[str, Callable[[str], Made]] = {
    "single manifest": sized,
    "index of two platforms": DebianImages.small,
    "attestations": attested,
    "zstd": zstd,
    "100 layers": layered,
    "duplicate layers": duplicated,
}


def _with_manifest(config: DebianBlob, layers: list[DebianBlob]) -> DebianImage:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config.descriptor(),
        "layers": [layer.descriptor() for layer in layers],
    }
    manifest = DebianBlob.of(OCI_MANIFEST, _json(document))
    unique = {blob.digest: blob for blob in (config, *layers)}
    return DebianImage(platform=AMD64, manifest=manifest, blobs=tuple(unique.values()))


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _zstd(content: bytes) -> bytes:
    return subprocess.run(["zstd", "-q", "-c"], input=content, stdout=subprocess.PIPE, check=True).stdout
