"""Images as registries really have them, a maker for each kind: indexes, platforms, layers and manifests that clients disagree about."""

import base64
import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from pullbench.lab.contents import Contents
from pullbench.model.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    MAX_MANIFEST_BYTES,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
)
from pullbench.model.platform import Platform

SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
_ANNOTATIONS = {"org.opencontainers.image.title": "odd"}
_UNSET = object()


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Stored:
    """Content of a registry with its media type; `more` belongs to its descriptor."""

    media_type: str
    content: bytes
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return digest_of(self.content)

    @property
    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.content), **self.more}

    def named(self, **more: Any) -> "Stored":
        """The same content, with more in its descriptor."""
        return Stored(self.media_type, self.content, {**self.more, **more})

    def on(self, platform: str) -> "Stored":
        """The same content, with this platform in its descriptor; without one for an empty text."""
        if not platform:
            return self
        os, architecture, *variant = platform.split("/")
        place = {"os": os, "architecture": architecture, **({"variant": variant[0]} if variant else {})}
        return self.named(platform=place)


@dataclass(slots=True)
class OddImage:
    """One image: `manifests` are pushed by digest in their order, the last one (`top`) by tag too."""

    blobs: list[Stored] = field(default_factory=list)
    manifests: list[Stored] = field(default_factory=list)
    platform: str = "linux/amd64"
    """The platform to pull."""
    needs_lab: bool = False
    """Whether a CNCF registry 2.8 refuses the push, so that only the lab's registry can serve it."""

    @property
    def top(self) -> Stored:
        return self.manifests[-1]

    def add(self, *manifests: Stored, blobs: Sequence[Stored] = ()) -> Stored:
        self.blobs += blobs
        self.manifests += manifests
        return self.top


def layer(
    marker: str, *, size_bytes: int = 3000, compress: Callable[[bytes], bytes] | None = None
) -> tuple[Stored, str]:
    """A layer of one file, and its diff id."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        content = (hashlib.sha256(marker.encode()).hexdigest().encode() * (size_bytes // 64 + 1))[:size_bytes]
        member = tarfile.TarInfo(f"{hashlib.sha256(marker.encode()).hexdigest()[:12]}.txt")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    packed = compress(raw.getvalue()) if compress else gzip.compress(raw.getvalue(), 6, mtime=0)
    return Stored(OCI_LAYER_ZSTD if compress else OCI_LAYER_GZIP, packed), digest_of(raw.getvalue())


def config(marker: str, diff_ids: Sequence[str], platform: str = "linux/amd64", **changes: Any) -> Stored:
    """A config; a change to `_UNSET` leaves the key out."""
    os, architecture, *variant = platform.split("/")
    document: dict[str, Any] = {
        "architecture": architecture,
        "os": os,
        **({"variant": variant[0]} if variant else {}),
        "config": {"Env": [f"MARKER={marker}"]},
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "made by a test"} for _ in diff_ids],
        **changes,
    }
    return Stored(OCI_CONFIG, _json({key: value for key, value in document.items() if value is not _UNSET}))


def manifest(config: Stored, layers: Sequence[Stored], media_type: str = OCI_MANIFEST, **more: Any) -> Stored:
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": config.descriptor,
        "layers": [entry.descriptor for entry in layers],
        **more,
    }
    return Stored(media_type, _json(document))


def index(*entries: Stored, media_type: str = OCI_INDEX, **more: Any) -> Stored:
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "manifests": [entry.descriptor for entry in entries],
        **more,
    }
    return Stored(media_type, _json(document))


def simple(
    image: OddImage,
    marker: str,
    platform: str = "linux/amd64",
    *,
    layers: int = 1,
    config_changes: Any = None,
    **more: Any,
) -> Stored:
    """Add one plain platform image to `image`, and return its manifest."""
    made = [layer(f"{marker}-{platform}-{number}") for number in range(layers)]
    about = config(marker, [diff_id for _, diff_id in made], platform, **(config_changes or {}))
    found = manifest(about, [entry for entry, _ in made], **more)
    image.add(found, blobs=[about, *(entry for entry, _ in made)])
    return found


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()


def _zstd(content: bytes) -> bytes:
    return subprocess.run(["zstd", "-q", "-c"], input=content, capture_output=True, check=True).stdout


def _indexed(*platforms: str, wanted: str = "linux/amd64", media_type: str = OCI_INDEX) -> Callable[[str], OddImage]:
    """An index of plain images, with each config naming the entry's platform."""

    def make(marker: str) -> OddImage:
        image = OddImage(platform=wanted)
        entries = [simple(image, f"{marker}-{number}", text).on(text) for number, text in enumerate(platforms)]
        if media_type == DOCKER_LIST:
            raise ValueError("use docker_list")
        image.add(index(*entries, media_type=media_type))
        return image

    return make


def _listed_as(listed: str, wanted: str = "linux/amd64", **config_changes: Any) -> Callable[[str], OddImage]:
    """An index whose one entry is for the platform `listed`; the config has changes."""

    def make(marker: str) -> OddImage:
        image = OddImage(platform=wanted)
        image.add(index(simple(image, marker, config_changes=config_changes).on(listed)))
        return image

    return make


def _single(
    wanted: str = "linux/amd64", platform: str = "linux/amd64", layers: int = 1, **config_changes: Any
) -> Callable[[str], OddImage]:
    """A manifest without an index."""

    def make(marker: str) -> OddImage:
        image = OddImage(platform=wanted)
        simple(image, marker, platform, layers=layers, config_changes=config_changes)
        return image

    return make


def _no_platform_beside_another(marker: str) -> OddImage:
    image = OddImage()
    entries = [simple(image, f"{marker}-a"), simple(image, f"{marker}-b", "linux/arm64").on("linux/arm64")]
    image.add(index(*entries))
    return image


def _nested(inner: str = "", outer: str = "") -> Callable[[str], OddImage]:
    """An index in an index: the inner entries name both platforms, the outer entry `outer`."""

    def make(marker: str) -> OddImage:
        image = OddImage()
        amd = simple(image, f"{marker}-a").on("linux/amd64")
        arm = simple(image, f"{marker}-b", "linux/arm64").on("linux/arm64")
        child = image.add(index(amd, arm))
        image.add(index(child.on(outer)))
        return image

    return make


def _over_4_mib(marker: str) -> OddImage:
    image = OddImage(needs_lab=True)
    filler = {f"org.example.{number}": "x" * 1000 for number in range(5000)}
    simple(image, marker, annotations=filler)
    assert len(image.top.content) > MAX_MANIFEST_BYTES
    return image


def _zero_byte_layer(marker: str) -> OddImage:
    image = OddImage()
    good, diff_id = layer(marker)
    empty = Stored(OCI_LAYER_GZIP, b"")
    about = config(marker, [diff_id, digest_of(b"")])
    image.add(manifest(about, [good, empty]), blobs=[about, good, empty])
    return image


def _duplicate_layers(marker: str) -> OddImage:
    image = OddImage()
    made, diff_id = layer(marker)
    other, other_id = layer(f"{marker}-other")
    about = config(marker, [diff_id, other_id, diff_id])
    image.add(manifest(about, [made, other, made]), blobs=[about, made, other])
    return image


def _artifact(config_type: str, layer_type: str, config_content: bytes, **more: Any) -> Callable[[str], OddImage]:
    def make(marker: str) -> OddImage:
        image = OddImage()
        about, content = Stored(config_type, config_content), Stored(layer_type, marker.encode() * 50)
        image.add(manifest(about, [content.named(annotations=_ANNOTATIONS)], **more), blobs=[about, content])
        return image

    return make


def _chart(marker: str) -> OddImage:
    about = Stored(
        "application/vnd.cncf.helm.config.v1+json", _json({"name": marker, "version": "1.0.0", "apiVersion": "v2"})
    )
    content = Stored("application/vnd.cncf.helm.chart.content.v1.tar+gzip", layer(marker)[0].content)
    image = OddImage()
    image.add(manifest(about, [content]), blobs=[about, content])
    return image


def _schema_1(marker: str) -> OddImage:
    """Signed by nobody; clients refuse the type before they look at the signature."""
    image = OddImage(needs_lab=True)
    made, _ = layer(marker)
    document = {
        "schemaVersion": 1,
        "name": "app",
        "tag": "1.0",
        "architecture": "amd64",
        "fsLayers": [{"blobSum": made.digest}],
        "history": [{"v1Compatibility": json.dumps({"id": "a" * 64, "os": "linux", "architecture": "amd64"})}],
        "signatures": [{"header": {"alg": "ES256"}, "signature": "AA", "protected": "AA"}],
    }
    image.add(Stored(SCHEMA_1, _json(document)), blobs=[made])
    return image


def _attested(listed: bool = True) -> Callable[[str], OddImage]:
    """BuildKit's attestation beside the image, for the platform unknown/unknown."""

    def make(marker: str) -> OddImage:
        image = OddImage()
        main = simple(image, marker)
        statement = Stored(
            "application/vnd.in-toto+json", _json({"_type": "https://in-toto.io/Statement/v0.1", "m": marker})
        )
        about = config(marker, [statement.digest], "unknown/unknown")
        proof = manifest(
            about, [statement.named(annotations={"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"})]
        )
        image.add(proof, blobs=[about, statement])
        notes = {"vnd.docker.reference.digest": main.digest, "vnd.docker.reference.type": "attestation-manifest"}
        image.add(index(proof.on("unknown/unknown").named(annotations=notes), main.on("linux/amd64")))
        return image

    return make


def _zstd_layers(**annotations: str) -> Callable[[str], OddImage]:
    def make(marker: str) -> OddImage:
        image = OddImage()
        made, diff_id = layer(marker, compress=_zstd)
        about = config(marker, [diff_id])
        image.add(manifest(about, [made.named(annotations=annotations) if annotations else made]), blobs=[about, made])
        return image

    return make


def _estargz(marker: str) -> OddImage:
    image = OddImage()
    made, diff_id = layer(marker)
    about = config(marker, [diff_id])
    toc = {"containerd.io/snapshot/stargz/toc.digest": digest_of(marker.encode())}
    image.add(manifest(about, [made.named(annotations=toc)]), blobs=[about, made])
    return image


def _with_subject(marker: str) -> OddImage:
    image = OddImage()
    other = simple(image, f"{marker}-other")
    simple(image, marker, subject=other.descriptor)
    return image


def _inline_data(marker: str) -> OddImage:
    image = OddImage()
    made, diff_id = layer(marker)
    about = config(marker, [diff_id])
    inlined = about.named(data=base64.b64encode(about.content).decode())
    image.add(manifest(inlined, [made]), blobs=[about, made])
    return image


def _foreign(marker: str) -> OddImage:
    """A layer that the registry does not have, at a URL where nothing listens."""
    image = OddImage(needs_lab=True)
    made, diff_id = layer(marker)
    away, away_id = layer(f"{marker}-away")
    about = Stored(DOCKER_CONFIG, config(marker, [diff_id, away_id]).content)
    local = Stored(DOCKER_LAYER, made.content)
    foreign = Stored(FOREIGN_LAYER, away.content, {"urls": ["http://127.0.0.1:9/layer.tar.gz"]})
    image.add(manifest(about, [local, foreign], DOCKER_MANIFEST), blobs=[about, local])
    return image


def _docker_list(*listed: str) -> Callable[[str], OddImage]:
    """Docker's own media types throughout; an entry for an empty text has no platform."""

    def make(marker: str) -> OddImage:
        image, entries = OddImage(), []
        for number, text in enumerate(listed):
            made, diff_id = layer(f"{marker}-{number}")
            about = Stored(DOCKER_CONFIG, config(f"{marker}-{number}", [diff_id], text or "linux/amd64").content)
            local = Stored(DOCKER_LAYER, made.content)
            found = manifest(about, [local], DOCKER_MANIFEST)
            image.add(found, blobs=[about, local])
            entries.append(found.on(text))
        image.add(index(*entries, media_type=DOCKER_LIST))
        return image

    return make


KINDS: dict[str, Callable[[str], OddImage]] = {
    "plain": _single(),
    "plain-index": _indexed("linux/arm64", "linux/amd64"),
    "docker-list": _docker_list("linux/arm64", "linux/amd64"),
    # Indexes
    "no-platform": _listed_as(""),
    "no-platform-beside-another": _no_platform_beside_another,
    "no-platform-other-config": _listed_as("", architecture="s390x"),
    "no-platform-in-a-docker-list": _docker_list(""),
    "nested": _nested(),
    "nested-with-a-platform": _nested(outer="linux/amd64"),
    "attestations": _attested(),
    # Platforms
    "v3-then-v1": _indexed("linux/amd64/v3", "linux/amd64"),
    "v3-then-v1-by-name": _indexed("linux/amd64/v3", "linux/amd64/v1"),
    "v2-and-v3-only": _indexed("linux/amd64/v2", "linux/amd64/v3"),
    "v1-and-v2-for-v3": _indexed("linux/amd64", "linux/amd64/v2", wanted="linux/amd64/v3"),
    "386-only": _indexed("linux/386"),
    "arm-v6-and-v7": _indexed("linux/arm/v6", "linux/arm/v7", wanted="linux/arm/v7"),
    "arm-v6-and-v7-for-v6": _indexed("linux/arm/v6", "linux/arm/v7", wanted="linux/arm/v6"),
    "arm-v6-and-v7-for-arm": _indexed("linux/arm/v6", "linux/arm/v7", wanted="linux/arm"),
    "arm-v6-for-v7": _indexed("linux/arm/v6", wanted="linux/arm/v7"),
    "arm-v7-for-arm64": _indexed("linux/arm/v7", wanted="linux/arm64"),
    "arm-for-v7": _indexed("linux/arm", wanted="linux/arm/v7"),
    "arm64-for-v8": _indexed("linux/arm64", wanted="linux/arm64/v8"),
    "arm64-v8-for-arm64": _indexed("linux/arm64/v8", wanted="linux/arm64"),
    "arm64-for-aarch64": _indexed("linux/arm64", wanted="linux/aarch64"),
    "aarch64-for-arm64": _listed_as("linux/aarch64", "linux/arm64", architecture="arm64"),
    "x86_64-for-amd64": _listed_as("linux/x86_64"),
    "arm-7-for-v7": _listed_as("linux/arm/7", "linux/arm/v7", architecture="arm", variant="v7"),
    # Configs
    "config-arch-empty": _listed_as("linux/amd64", architecture=""),
    "config-arch-wrong": _listed_as("linux/amd64", architecture="s390x"),
    "config-arch-absent": _listed_as("linux/amd64", architecture=_UNSET),
    "config-os-absent": _listed_as("linux/amd64", os=_UNSET),
    "config-platform-absent": _listed_as("linux/amd64", os=_UNSET, architecture=_UNSET),
    "single-arch-absent": _single(architecture=_UNSET),
    "single-platform-absent": _single(architecture=_UNSET, os=_UNSET),
    "single-arch-empty": _single(architecture=""),
    "single-other-arch": _single(platform="linux/s390x"),
    "single-v2": _single(platform="linux/amd64/v2"),
    "single-arm-v6-for-v7": _single(wanted="linux/arm/v7", platform="linux/arm/v6"),
    "single-x86_64": _single(platform="linux/x86_64"),
    # Layers
    "125-layers": _single(layers=125),
    "126-layers": _single(layers=126),
    "zero-byte-layer": _zero_byte_layer,
    "no-layers": _single(layers=0),
    "duplicate-layers": _duplicate_layers,
    "zstd": _zstd_layers(),
    "zstd-chunked": _zstd_layers(**{"io.github.containers.zstd-chunked.manifest-checksum": f"sha256:{'0' * 64}"}),
    "estargz": _estargz,
    "foreign-layer": _foreign,
    # Manifests
    "over-4-mib": _over_4_mib,
    "schema-1": _schema_1,
    "subject": _with_subject,
    "inline-data": _inline_data,
    # What is no image
    "helm-chart": _chart,
    "oras-artifact": _artifact(OCI_EMPTY, "text/plain", b"{}", artifactType="application/vnd.example.thing"),
    "artifact-with-its-config": _artifact(
        "application/vnd.example.config.v1+json", "application/vnd.example.layer.v1", b'{"a":1}'
    ),
}
"""Each kind's maker; its argument makes the content unique."""


def push(client: httpx.Client, repository: str, image: OddImage, tag: str = "1.0") -> None:
    """Upload over the registry's API. Raises httpx.HTTPStatusError with the registry's refusal."""
    for blob in image.blobs:
        if client.head(f"/v2/{repository}/blobs/{blob.digest}").status_code != 200:
            begun = client.post(f"/v2/{repository}/blobs/uploads/").raise_for_status()
            location = client.base_url.join(begun.headers["Location"]).copy_merge_params({"digest": blob.digest})
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(len(blob.content))}
            client.put(location, content=blob.content, headers=headers).raise_for_status()
    for entry in image.manifests:
        for name in {entry.digest} | ({tag} if entry is image.top else set()):
            path, headers = f"/v2/{repository}/manifests/{name}", {"Content-Type": entry.media_type}
            client.put(path, content=entry.content, headers=headers).raise_for_status()


def put(contents: Contents, folder: Path, repository: str, image: OddImage, tag: str = "1.0") -> None:
    """Store the image in a registry of the lab."""
    for blob in image.blobs:
        path = folder / blob.digest.replace(":", "-")
        path.write_bytes(blob.content)
        contents.put_blob(repository, blob.digest, path)
    for entry in image.manifests:
        contents.put_manifest(repository, entry.content, entry.media_type, tag=tag if entry is image.top else None)


def wanted(image: OddImage) -> Platform:
    return Platform.parse(image.platform)
