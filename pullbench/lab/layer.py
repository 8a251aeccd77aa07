"""One synthetic layer: a tar of incompressible files in an uncompressed gzip, generated in one pass, equal for equal seeds."""

import hashlib
import itertools
import random
import struct
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_BLOCK = 512
_TAR_END = bytes(2 * _BLOCK)
_PIECE_BYTES = 1 << 20
_STORED_MAX = 0xFFFF
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LAST_BLOCK = b"\x01\x00\x00\xff\xff"
_MTIME = 1_704_067_200
_FILE_MEDIAN_LOG, _FILE_SIGMA = 10.0, 2.0

_GZIP_BYTES = len(_GZIP_HEADER) + 13
MIN_LAYER_BYTES = 2 * _BLOCK + len(_TAR_END) + _GZIP_BYTES + 5
"""The smallest layer: one small file, the end of the tar, and gzip around it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer's digests: of the gzip, and of the tar in it (`diff_id`, OCI image spec, config)."""

    digest: str
    diff_id: str
    size_bytes: int


def layer_pieces(
    *, seed: tuple[int, ...], size_bytes: int, on_tar: Callable[[bytes], None] | None = None
) -> Iterator[bytes]:
    """A tar+gzip layer of at most `size_bytes` (and at least MIN_LAYER_BYTES) in pieces of about a mebibyte.

    numpy guarantees PCG64's stream for all versions. The gzip frame is built here, because zlib's stored blocks differ between
    versions. So a seed's digest is the same on every machine.
    """
    checksum = tar_bytes = 0
    yield _GZIP_HEADER
    for piece in _joined(_tar(seed, max(size_bytes, MIN_LAYER_BYTES))):
        if on_tar is not None:
            on_tar(piece)
        checksum = zlib.crc32(piece, checksum)
        tar_bytes += len(piece)
        yield _stored_blocks(piece)
    yield _LAST_BLOCK + struct.pack("<II", checksum, tar_bytes & 0xFFFFFFFF)


def describe_layer(
    *, seed: tuple[int, ...], size_bytes: int, on_piece: Callable[[bytes], object] | None = None
) -> Layer:
    """Generate a layer once, for its digests; `on_piece` may keep the bytes."""
    compressed, plain = hashlib.sha256(), hashlib.sha256()
    size = 0
    for piece in layer_pieces(seed=seed, size_bytes=size_bytes, on_tar=plain.update):
        compressed.update(piece)
        size += len(piece)
        if on_piece is not None:
            on_piece(piece)
    return Layer(digest=f"sha256:{compressed.hexdigest()}", diff_id=f"sha256:{plain.hexdigest()}", size_bytes=size)


def write_layer(folder: Path, *, seed: tuple[int, ...], size_bytes: int) -> Layer:
    """Write a layer into a directory, named by its digest in hex."""
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        layer = describe_layer(seed=seed, size_bytes=size_bytes, on_piece=file.write)
    path = Path(file.name).rename(folder / layer.digest.removeprefix("sha256:"))
    path.chmod(0o644)
    return layer


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of about a mebibyte: many small pieces cost more than hashing itself."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _PIECE_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)


def _tar(seed: tuple[int, ...], size_bytes: int) -> Iterator[bytes]:
    """The tar in pieces: as many files as fit, with log-normal sizes (median 22 kB) as in a distribution's packages."""
    label = "-".join(map(str, seed))
    sizes, source = random.Random(label), np.random.PCG64(list(seed))
    left = size_bytes - len(_TAR_END) - _GZIP_BYTES
    left -= 5 * (1 + left // _STORED_MAX + left // _PIECE_BYTES)
    for number in itertools.count():
        room = (left - _BLOCK) // _BLOCK * _BLOCK
        if room <= 0:
            break
        content_bytes = min(room, 1 + int(sizes.lognormvariate(_FILE_MEDIAN_LOG, _FILE_SIGMA)))
        info = tarfile.TarInfo(f"opt/lab/{label}/{number:05d}.bin")
        info.size, info.mtime, info.mode = content_bytes, _MTIME, 0o644
        yield info.tobuf(tarfile.USTAR_FORMAT)
        padded = content_bytes + -content_bytes % _BLOCK
        yield from _content(source, content_bytes)
        yield bytes(padded - content_bytes)
        left -= _BLOCK + padded
    yield _TAR_END


def _content(source: np.random.PCG64, size_bytes: int) -> Iterator[bytes]:
    for start in range(0, size_bytes, _PIECE_BYTES):
        length = min(_PIECE_BYTES, size_bytes - start)
        yield source.random_raw(-(-length // 8)).tobytes()[:length]


def _stored_blocks(data: bytes) -> bytes:
    """Deflate without compression (RFC 1951, 3.2.4)."""
    view, parts = memoryview(data), list[bytes | memoryview]()
    for start in range(0, len(view), _STORED_MAX):
        block = view[start : start + _STORED_MAX]
        parts += (struct.pack("<BHH", 0, len(block), len(block) ^ 0xFFFF), block)
    return b"".join(parts)
