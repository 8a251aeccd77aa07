"""Images for the static server: files named by their digests, layers that repeat a piece as often as needed."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.scene import Image
from pullbench.model.facts import PlatformImage
from pullbench.model.manifest import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Manifest, parse_manifest

PIECE_BYTES = 10**7


def published(folder: Path, url: str, layer_pieces: Sequence[int]) -> Image:
    """Write an image and return where it is served. `layer_pieces` has the pieces of each layer; its bytes are random."""
    config = _document(folder, b"{}")
    layers = [_layer(folder, pieces) for pieces in layer_pieces]
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": config, "size": 2},
        "layers": [{"mediaType": OCI_LAYER_GZIP, "digest": digest, "size": size} for digest, size in layers],
    }
    content = json.dumps(document).encode()
    manifest = parse_manifest(content)
    assert isinstance(manifest, Manifest)
    found = PlatformImage(digest=_document(folder, content), manifest=manifest)
    return Image(url=url, reference=f"bench@{found.digest}", found=found)


def _layer(folder: Path, pieces: int) -> tuple[str, int]:
    piece, hashed = os.urandom(PIECE_BYTES), hashlib.sha256()
    for _ in range(pieces):
        hashed.update(piece)
    digest = f"sha256:{hashed.hexdigest()}"
    (folder / f"{digest}.times").write_text(str(pieces))
    (folder / digest).write_bytes(piece)
    return digest, pieces * PIECE_BYTES


def _document(folder: Path, content: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    (folder / digest).write_bytes(content)
    return digest
