"""Real images for tests and for docs/benchmarks.md: Debian's smallest system in three layers, in any number of images.

debootstrap makes the system once (it needs root, and a Debian mirror of this machine's apt sources). Its layers are kept in a
cache directory. Each image ends every layer with a marker file of its own, so no two images share a blob or a diffID. Each is
an index of linux/amd64 (or this machine's platform) and a small image for another platform. A layer is two gzip members, the
system's and the marker's: RFC 1952 (2.2) allows several in a file.
"""

import contextlib
import fcntl
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from pullbench.model.manifest import OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST
from pullbench.model.platform import Platform

TEST_CACHE = Path(os.environ.get("PULLBENCH_TEST_CACHE") or Path.home() / ".cache" / "pullbench-tests")
"""Where the tests keep the system; `python -m benchmarks.debian_images` makes it."""

_CREATED = "2024-01-01T00:00:00Z"
_CHUNK_BYTES = 1 << 20
_GZIP_LEVEL = 1
_LAYERS: tuple[tuple[str, ...], ...] = (("usr",), ("var", "etc"), ())
"""Top directories of each layer, base first; the last has the rest."""
_LEFT_OUT = re.compile(r"(dev|proc|sys|run)/.|var/cache/apt/.*\.(deb|bin)$|var/lib/apt/lists/.|var/log/.*\.log$")


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianBlob:
    """Content by its digest; `parts` follow each other, in files or in memory."""

    media_type: str
    digest: str
    size_bytes: int
    parts: tuple[Path | bytes, ...]

    @classmethod
    def of(cls, media_type: str, content: bytes) -> "DebianBlob":
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        return cls(media_type=media_type, digest=digest, size_bytes=len(content), parts=(content,))

    @property
    def content(self) -> bytes:
        return b"".join(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        for part in self.parts:
            if isinstance(part, bytes):
                yield part
            else:
                with part.open("rb") as file:
                    while chunk := file.read(_CHUNK_BYTES):
                        yield chunk

    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size_bytes}


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianImage:
    """One platform's manifest with what it points at: the config first, then the layers."""

    platform: Platform
    manifest: DebianBlob
    blobs: tuple[DebianBlob, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltIndex:
    """An index over images of several platforms."""

    index: DebianBlob
    platforms: Mapping[str, DebianImage]


class _BaseLayer:
    """A layer's tar without its end, compressed in a file; hash states that a marker can be put after."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size_bytes = path.stat().st_size
        self._packed, self._unpacked = hashlib.sha256(), hashlib.sha256()
        inflate = zlib.decompressobj(wbits=31)
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                self._packed.update(chunk)
                self._unpacked.update(inflate.decompress(chunk))

    def ended_by(self, marker: str) -> tuple[DebianBlob, str]:
        """The whole layer with a file of that name at its end, and its diffID."""
        end = _tar_of(marker)
        packed, unpacked = self._packed.copy(), self._unpacked.copy()
        member = gzip.compress(end, _GZIP_LEVEL, mtime=0)
        packed.update(member)
        unpacked.update(end)
        blob = DebianBlob(
            media_type=OCI_LAYER_GZIP,
            digest=f"sha256:{packed.hexdigest()}",
            size_bytes=self._size_bytes + len(member),
            parts=(self._path, member),
        )
        return blob, f"sha256:{unpacked.hexdigest()}"


class DebianImages:
    """Makes images from one Debian system, which is downloaded for the first of them.

    Raises RuntimeError with the message of debootstrap if that fails.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._bases: list[_BaseLayer] | None = None

    def image(self, marker: str) -> BuiltIndex:
        """The image of that marker: the same marker gives the same digests as long as the cache is kept."""
        if self._bases is None:
            self._bases = [_BaseLayer(path) for path in _base_layers(self._cache)]
        host = Platform.of_machine(os.uname().machine)
        other = Platform.parse("linux/amd64" if host.architecture == "arm64" else "linux/arm64")
        whole = _platform_image(host, [base.ended_by(f"{marker}-{i}") for i, base in enumerate(self._bases)])
        return index_of([whole, small_image(other, f"{marker}-other")])

    @staticmethod
    def small(marker: str) -> BuiltIndex:
        """An index with only a few bytes for each platform; needs no Debian."""
        return index_of([small_image(Platform.parse(name), marker) for name in ("linux/amd64", "linux/arm64")])


def small_image(platform: Platform, *markers: str) -> DebianImage:
    """An image of one tiny layer a marker: equal markers on equal ground are equal layers."""
    layers = []
    for marker in markers:
        content = _tar_of(f"{marker}-{platform.architecture}")
        packed = gzip.compress(content, _GZIP_LEVEL, mtime=0)
        layers.append((DebianBlob.of(OCI_LAYER_GZIP, packed), f"sha256:{hashlib.sha256(content).hexdigest()}"))
    return _platform_image(platform, layers)


def push(client: httpx.Client, repository: str, tag: str, image: BuiltIndex | DebianImage) -> str:
    """Upload an image over the registry's API, what is there already left out; gives the digest behind the tag.

    `client` has the registry as its base URL, and its credentials. Raises httpx.HTTPStatusError.
    """
    manifests = list(image.platforms.values()) if isinstance(image, BuiltIndex) else [image]
    for entry in manifests:
        for blob in entry.blobs:
            _push_blob(client, repository, blob)
        _push_manifest(client, repository, entry.manifest.digest, entry.manifest)
    top = image.index if isinstance(image, BuiltIndex) else image.manifest
    _push_manifest(client, repository, tag, top)
    return top.digest


def _push_blob(client: httpx.Client, repository: str, blob: DebianBlob) -> None:
    if client.head(f"/v2/{repository}/blobs/{blob.digest}").status_code == 200:
        return
    begun = client.post(f"/v2/{repository}/blobs/uploads/").raise_for_status()
    location = client.base_url.join(begun.headers["Location"]).copy_merge_params({"digest": blob.digest})
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size_bytes)}
    client.put(location, content=blob.chunks(), headers=headers).raise_for_status()


def _push_manifest(client: httpx.Client, repository: str, name: str, manifest: DebianBlob) -> None:
    headers = {"Content-Type": manifest.media_type}
    client.put(f"/v2/{repository}/manifests/{name}", content=manifest.content, headers=headers).raise_for_status()


def index_of(images: Sequence[DebianImage]) -> BuiltIndex:
    """An index over these images, each with its platform and variant; no config has a variant."""
    entries = [
        {**image.manifest.descriptor(), "platform": _oci_platform(image.platform, variant=True)} for image in images
    ]
    index = DebianBlob.of(OCI_INDEX, _json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}))
    return BuiltIndex(index=index, platforms={str(image.platform): image for image in images})


def _platform_image(platform: Platform, layers: list[tuple[DebianBlob, str]]) -> DebianImage:
    config = {
        "created": _CREATED,
        **_oci_platform(platform, variant=False),
        "config": {"Cmd": ["/bin/bash"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in layers]},
        "history": [{"created": _CREATED, "created_by": "debootstrap"} for _ in layers],
    }
    blobs = (DebianBlob.of(OCI_CONFIG, _json(config)), *(layer for layer, _ in layers))
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": blobs[0].descriptor(),
        "layers": [layer.descriptor() for layer in blobs[1:]],
    }
    return DebianImage(platform=platform, manifest=DebianBlob.of(OCI_MANIFEST, _json(document)), blobs=blobs)


def _oci_platform(platform: Platform, *, variant: bool) -> dict[str, str]:
    named = {"architecture": platform.architecture, "os": platform.os}
    return named | ({"variant": platform.variant} if variant and platform.variant else {})


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _tar_of(name: str) -> bytes:
    """A tar archive, its end included, of one file whose name is its content."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        entry = tarfile.TarInfo(f"pullbench-marker-{name}")
        entry.size = len(name)
        tar.addfile(entry, io.BytesIO(name.encode()))
    return packed.getvalue()


def _base_layers(cache: Path) -> list[Path]:
    """The layers' files, base first; made under a lock, for tests may ask from several processes."""
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "lock"):
        # Any release will do: a chroot of another release shares the cache, and has no network to make its own.
        kept = sorted(cache.glob(f"debian-*-{os.uname().machine}"))
        suite = _suite()
        folder = kept[0] if kept else cache / f"debian-{suite}-{os.uname().machine}"
        if not kept:
            made = cache / f"{folder.name}.new"
            shutil.rmtree(made, ignore_errors=True)
            _debootstrap(suite, made / "root")
            for index in range(len(_LAYERS)):
                _write_layer(made / "root", index, made / f"layer-{index}.tar.gz")
            shutil.rmtree(made / "root")
            made.rename(folder)
    return [folder / f"layer-{index}.tar.gz" for index in range(len(_LAYERS))]


def _write_layer(root: Path, index: int, path: Path) -> None:
    tops = {entry.name for entry in root.iterdir()}
    chosen = set(_LAYERS[index]) if _LAYERS[index] else tops - {name for names in _LAYERS for name in names}

    def keep(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if _LEFT_OUT.match(entry.name) else entry

    with gzip.open(path, "wb", _GZIP_LEVEL) as packed:
        # Not closed, for that would write the archive's end; the marker's archive has it.
        tar = tarfile.TarFile(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT)
        for name in sorted(chosen & tops):
            tar.add(root / name, arcname=name, filter=keep)


def _debootstrap(suite: str, root: Path) -> None:
    root.mkdir(parents=True)
    command = ["debootstrap", "--variant=minbase", suite, str(root), _mirror()]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"debootstrap cannot be run: {error}") from error
    if ended.returncode != 0:
        raise RuntimeError("debootstrap failed: " + " | ".join((ended.stdout + ended.stderr).splitlines()[-3:]))


def _suite() -> str:
    release = Path("/etc/os-release").read_text()
    found = re.search(r"^VERSION_CODENAME=(\S+)", release, re.MULTILINE)
    if found is None:
        raise RuntimeError("no Debian release: /etc/os-release has no VERSION_CODENAME")
    return found[1]


def _mirror() -> str:
    """The first mirror of apt's own sources, in either of their formats (sources.list(5))."""
    apt = Path("/etc/apt")
    for path in sorted(
        (*apt.glob("sources.list"), *apt.glob("sources.list.d/*.list"), *apt.glob("sources.list.d/*.sources"))
    ):
        found = re.search(r"^(?:URIs:|deb(?:\s+\[[^]]*\])?)\s+(https?://\S+)", path.read_text(), re.MULTILINE)
        if found is not None:
            return found[1]
    raise RuntimeError("no mirror in /etc/apt/sources.list*")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    DebianImages(TEST_CACHE).image("first")
