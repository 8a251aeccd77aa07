"""Receives the bytes of an answer, and verifies size and digest of each blob."""

import hashlib
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from pullbench.engines.wire.curl import BodyRefusedError
from pullbench.engines.wire.record import RANGE_REFUSED
from pullbench.errors import ErrorCode
from pullbench.model.manifest import ACCEPT, MAX_MANIFEST_BYTES, Descriptor
from pullbench.registry.auth import MAX_TOKEN_BYTES, Token, read_token

if TYPE_CHECKING:
    from hashlib import _Hash


class CheckedBody(Protocol):
    """A body that verifies at its end whether it is complete and correct."""

    @property
    def received_bytes(self) -> int: ...
    @property
    def note(self) -> str | None:
        """A note about the transfer, for its row."""
        ...

    @property
    def request_headers(self) -> Mapping[str, str]:
        """Headers that request exactly this content."""
        ...

    def accepts(self, status: int, headers: Mapping[str, Sequence[str]], /) -> bool: ...
    def update(self, chunk: bytes, /) -> None: ...
    def settle(self) -> None:
        """Wait for the parts before this content, which its verification needs; not part of the transfer's time."""
        ...

    def finish(self) -> None:
        """Raise BodyRefusedError for wrong content, OSError if it cannot be stored."""
        ...

    def close(self) -> None: ...


class WholeBody:
    """A body that is requested as a whole: a 200 has it, and it can be verified when it is complete."""

    note: str | None = None
    request_headers: Mapping[str, str] = {}

    def accepts(self, status: int, _headers: Mapping[str, Sequence[str]], /) -> bool:
        return status == 200

    def settle(self) -> None:
        """Nothing to wait for."""


class BlobBody(WholeBody):
    """A config or a layer: hashed on arrival and then dropped, or written to `path` and synced to disk.

    Memory does not grow with the blob. More bytes than the descriptor's size end it immediately.
    """

    def __init__(self, descriptor: Descriptor, path: Path | None = None, note: str | None = None) -> None:
        self.received_bytes = 0
        self.note = note
        self._descriptor = descriptor
        self._size_bytes = descriptor.size_bytes
        self._hash = hashlib.new(descriptor.digest.partition(":")[0])
        self._path = path
        self._file: BinaryIO | None = None

    def update(self, chunk: bytes, /) -> None:
        self.received_bytes += len(chunk)
        if self.received_bytes > self._size_bytes:
            raise BodyRefusedError(
                ErrorCode.DIGEST_MISMATCH, f"more than the {self._size_bytes} bytes of {self._descriptor.digest}"
            )
        self._hash.update(chunk)
        if self._path is not None:
            if self._file is None:
                self._file = self._path.open("wb", buffering=0)
            left = memoryview(chunk)
            while left:  # a write may be partial, as on a disk that is just full
                left = left[self._file.write(left) :]

    def finish(self) -> None:
        if self._file is not None:
            os.fsync(self._file.fileno())
        verify(self._descriptor.digest, self._size_bytes, self._hash.hexdigest(), self.received_bytes)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class DocumentBody(WholeBody):
    """A document that is kept in memory, with a size limit."""

    def __init__(self, limit_bytes: int) -> None:
        self.content = bytearray()
        self._limit_bytes = limit_bytes

    @property
    def received_bytes(self) -> int:
        return len(self.content)

    def update(self, chunk: bytes, /) -> None:
        if len(self.content) + len(chunk) > self._limit_bytes:
            raise BodyRefusedError(ErrorCode.TOO_LARGE, f"the body is larger than {self._limit_bytes} bytes")
        self.content += chunk

    def close(self) -> None:
        """Nothing to close: it uses only memory."""


class ManifestBody(DocumentBody):
    """A manifest or an index; its size is known only from an index."""

    request_headers: Mapping[str, str] = {"Accept": ACCEPT}

    def __init__(self, digest: str, size_bytes: int | None = None) -> None:
        super().__init__(MAX_MANIFEST_BYTES)
        self._digest = digest
        self._size_bytes = size_bytes

    def finish(self) -> None:
        algorithm, _, promised = self._digest.partition(":")
        found = hashlib.new(algorithm, self.content).hexdigest()
        if found != promised and not self.content.lstrip().startswith(b"{"):
            raise BodyRefusedError(ErrorCode.NOT_A_REGISTRY, f"not a manifest: {bytes(self.content[:60])!r}")
        verify(self._digest, self._size_bytes, found, len(self.content))


class TokenBody(DocumentBody):
    """A token service's answer; `token` is set when it is finished."""

    token: Token

    def __init__(self) -> None:
        super().__init__(MAX_TOKEN_BYTES)

    def finish(self) -> None:
        """Raise RegistryError if it contains no token."""
        self.token = read_token(bytes(self.content))


def verify(digest: str, size_bytes: int | None, found: str, received_bytes: int) -> None:
    """Raise BodyRefusedError if length or digest (`found`, hexadecimal) is wrong."""
    algorithm, _, promised = digest.partition(":")
    if size_bytes is not None and received_bytes < size_bytes:
        raise BodyRefusedError(ErrorCode.TRUNCATED, f"received {received_bytes} of {size_bytes} bytes of {digest}")
    if found != promised or (size_bytes is not None and received_bytes != size_bytes):
        raise BodyRefusedError(
            ErrorCode.DIGEST_MISMATCH, f"received {received_bytes} bytes of {algorithm}:{found} instead of {digest}"
        )


_CONTENT_RANGE = re.compile(r"bytes\s+(\d+)-(\d+)/(\d+|\*)", re.ASCII | re.IGNORECASE)  # RFC 9110, section 14.4
_SLICE_S = 0.05  # how often a waiting part checks for cancellation

REFUSALS = (416, 501)
"""Statuses of a server that does not support ranges and does not send the whole blob instead."""


class ChunkedBlob:
    """A layer in parts, with their shared state: the hash, the current part, and the file.

    Parts download in parallel, and are hashed in order, as if the layer came as a whole. The current part is hashed on arrival.
    A later part is kept in memory until its turn, and its worker waits. So a pull holds at most its number of workers times
    the size of a part.

    The first part starts alone. If the answer shows that the server supports ranges, `granted` is called once, and the other
    parts may be requested. If the server sends the whole layer, the first part receives all of it.
    """

    def __init__(
        self,
        descriptor: Descriptor,
        part_bytes: int,
        *,
        path: Path | None,
        stopped: Callable[[], bool],
        granted: Callable[[], None],
    ) -> None:
        self.descriptor = descriptor
        self.turn = 0
        self.is_granted = False
        self.is_complete = False
        """Every byte has arrived and is verified."""
        self._part_bytes = part_bytes
        self._stopped = stopped
        self._granted = granted
        self._hash = hashlib.new(descriptor.digest.partition(":")[0])
        self._changed = threading.Condition()
        self._path = path
        self._file: int | None = None

    def __len__(self) -> int:
        """The number of parts."""
        return -(-self.descriptor.size_bytes // self._part_bytes)

    def part(self, index: int) -> "PartBody":
        """A body for one attempt at a part."""
        first = index * self._part_bytes
        return PartBody(self, index, first, min(first + self._part_bytes, self.descriptor.size_bytes))

    def grant(self) -> None:
        if not self.is_granted:
            self.is_granted = True
            self._granted()

    def hash_so_far(self) -> "_Hash":
        """A copy of the hash, so that a failed attempt does not change it."""
        return self._hash.copy()

    def write(self, chunk: bytes, offset: int) -> None:
        """Write bytes at their position in the file, if there is one. Raises OSError."""
        if self._path is None:
            return
        with self._changed:
            if self._file is None:
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            file = self._file
        view = memoryview(chunk)
        while view:
            written = os.pwrite(file, view, offset)
            view, offset = view[written:], offset + written

    def wait_for(self, index: int) -> bool:
        """Wait until it is the part's turn; False if the pull was stopped before."""
        with self._changed:
            while self.turn != index and not self._stopped():
                self._changed.wait(_SLICE_S)
            return self.turn == index

    def commit(self, hashed: "_Hash", end: int) -> None:
        """Accept the hash of the current part; after the last byte, sync the file and verify the layer."""
        size = self.descriptor.size_bytes
        if end == size:
            if self._file is not None:
                os.fsync(self._file)
            verify(self.descriptor.digest, size, hashed.hexdigest(), size)
            self.is_complete = True
        with self._changed:
            self._hash = hashed
            self.turn += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Close the file; no part may be running."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class PartBody:
    """One attempt at a part: bytes from `first` up to but not including `end`."""

    def __init__(self, blob: ChunkedBlob, index: int, first: int, end: int) -> None:
        self.received_bytes = 0
        self._blob = blob
        self._index = index
        self._first = first
        self._end = end
        self._is_whole = False
        self._held: list[bytes] = []
        self._hash: _Hash | None = None

    @property
    def request_headers(self) -> Mapping[str, str]:
        return {"Range": f"bytes={self._first}-{self._end - 1}"}

    @property
    def note(self) -> str:
        if self._is_whole:
            return RANGE_REFUSED
        return f"bytes {self._first}-{self._end - 1}/{self._blob.descriptor.size_bytes}"

    def accepts(self, status: int, headers: Mapping[str, Sequence[str]], /) -> bool:
        """Accept a 206 with exactly these bytes; a 200 only for the first part, which then receives the whole layer."""
        if status == 206:
            self._check(", ".join(headers.get("content-range", ())))
            self._blob.grant()
            return True
        if status != 200:
            return False
        if self._blob.is_granted:
            raise BodyRefusedError(
                ErrorCode.NOT_A_REGISTRY,
                f"200 instead of {self.note}, although other parts came as ranges: the servers behind this name differ",
            )
        self._is_whole, self._end = True, self._blob.descriptor.size_bytes
        return True

    def _check(self, header: str) -> None:
        found, size = _CONTENT_RANGE.fullmatch(header.strip()), self._blob.descriptor.size_bytes
        if found is None:
            raise BodyRefusedError(ErrorCode.NOT_A_REGISTRY, f"206 with Content-Range {header[:80]!r}")
        if (int(found[1]), int(found[2])) != (self._first, self._end - 1) or found[3] not in ("*", str(size)):
            raise BodyRefusedError(ErrorCode.DIGEST_MISMATCH, f"{header[:80]} instead of {self.note}")

    def update(self, chunk: bytes, /) -> None:
        at = self._first + self.received_bytes
        self.received_bytes += len(chunk)
        if at + len(chunk) > self._end:
            raise BodyRefusedError(
                ErrorCode.DIGEST_MISMATCH,
                f"more than the {self._end - self._first} bytes of {self.note} of {self._blob.descriptor.digest}",
            )
        self._blob.write(chunk, at)
        if self._hash is not None:
            self._hash.update(chunk)
            return
        self._held.append(chunk)
        if self._blob.turn == self._index:
            self._hash = self._caught_up()

    def _caught_up(self) -> "_Hash":
        """The layer's hash including the received bytes of this part; afterwards none are kept in memory."""
        hashed = self._blob.hash_so_far()
        for chunk in self._held:
            hashed.update(chunk)
        self._held.clear()
        return hashed

    def settle(self) -> None:
        """Wait for the parts before this one."""
        if self._first + self.received_bytes == self._end:
            self._blob.wait_for(self._index)

    def finish(self) -> None:
        wanted = self._end - self._first
        if self.received_bytes < wanted:
            raise BodyRefusedError(
                ErrorCode.TRUNCATED,
                f"received {self.received_bytes} of the {wanted} bytes of {self.note} of {self._blob.descriptor.digest}",
            )
        if self._blob.turn != self._index:
            raise BodyRefusedError(ErrorCode.CANCELLED, "stopped before the earlier parts had arrived")
        self._blob.commit(self._hash or self._caught_up(), self._end)

    def close(self) -> None:
        self._held.clear()
