"""Where the bytes of an answer go, and whether they are what was promised: size and digest of every one."""

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
    """A body that can say, at its end, whether it is whole and right."""

    @property
    def received_bytes(self) -> int: ...
    @property
    def note(self) -> str | None:
        """What is special about the transfer, for its row."""
        ...

    @property
    def request_headers(self) -> Mapping[str, str]:
        """What to ask with, so that just this content comes."""
        ...

    def accepts(self, status: int, headers: Mapping[str, Sequence[str]], /) -> bool: ...
    def update(self, chunk: bytes, /) -> None: ...
    def settle(self) -> None:
        """Wait for what must come before this content can be verified; no part of the transfer's own time."""
        ...

    def finish(self) -> None:
        """Raises BodyRefusedError for content that is not what was promised, OSError where it cannot be kept."""
        ...

    def close(self) -> None: ...


class WholeBody:
    """A body that is asked for as a whole: a 200 brings it, and it can be verified as soon as it is there."""

    note: str | None = None
    request_headers: Mapping[str, str] = {}

    def accepts(self, status: int, _headers: Mapping[str, Sequence[str]], /) -> bool:
        return status == 200

    def settle(self) -> None:
        """There is nothing to wait for."""


class BlobBody(WholeBody):
    """A config or a layer: hashed as it comes and then dropped, or written to `path` and synced to the disk.

    Memory does not grow with the blob. More bytes than the descriptor promises end it at once.
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
            while left:  # it may take less than it is given, as a disk does that is just full
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
    """What is kept to be read, so it is bounded."""

    def __init__(self, limit_bytes: int) -> None:
        self.content = bytearray()
        self._limit_bytes = limit_bytes

    @property
    def received_bytes(self) -> int:
        return len(self.content)

    def update(self, chunk: bytes, /) -> None:
        if len(self.content) + len(chunk) > self._limit_bytes:
            raise BodyRefusedError(ErrorCode.TOO_LARGE, f"more than {self._limit_bytes} bytes")
        self.content += chunk

    def close(self) -> None:
        """Nothing is held but memory."""


class ManifestBody(DocumentBody):
    """A manifest or an index; its size is known only where an index names it."""

    request_headers: Mapping[str, str] = {"Accept": ACCEPT}

    def __init__(self, digest: str, size_bytes: int | None = None) -> None:
        super().__init__(MAX_MANIFEST_BYTES)
        self._digest = digest
        self._size_bytes = size_bytes

    def finish(self) -> None:
        algorithm, _, promised = self._digest.partition(":")
        found = hashlib.new(algorithm, self.content).hexdigest()
        if found != promised and not self.content.lstrip().startswith(b"{"):
            raise BodyRefusedError(ErrorCode.NOT_A_REGISTRY, f"no manifest but {bytes(self.content[:60])!r}")
        verify(self._digest, self._size_bytes, found, len(self.content))


class TokenBody(DocumentBody):
    """A token service's answer; `token` is there once it is finished."""

    token: Token

    def __init__(self) -> None:
        super().__init__(MAX_TOKEN_BYTES)

    def finish(self) -> None:
        """Raises RegistryError for what holds no token."""
        self.token = read_token(bytes(self.content))


def verify(digest: str, size_bytes: int | None, found: str, received_bytes: int) -> None:
    """Raise BodyRefusedError where length or digest (`found`, hexadecimal) is not what was promised."""
    algorithm, _, promised = digest.partition(":")
    if size_bytes is not None and received_bytes < size_bytes:
        raise BodyRefusedError(ErrorCode.TRUNCATED, f"{received_bytes} of {size_bytes} bytes of {digest}")
    if found != promised or (size_bytes is not None and received_bytes != size_bytes):
        raise BodyRefusedError(
            ErrorCode.DIGEST_MISMATCH, f"{received_bytes} bytes of {algorithm}:{found} where {digest} was asked"
        )


_CONTENT_RANGE = re.compile(r"bytes\s+(\d+)-(\d+)/(\d+|\*)", re.ASCII | re.IGNORECASE)  # RFC 9110, section 14.4
_SLICE_S = 0.05  # how soon a part that waits for its turn sees that the pull was stopped

REFUSALS = (416, 501)
"""How a server says that it has no ranges, where it does not just send the whole."""


class ChunkedBlob:
    """A layer in parts, and what they share: the hash, whose turn it is, and the file.

    Ranges of it come in parallel, and are hashed in order as if it had come whole. The part whose turn it is goes through the
    hash as it comes. A later one is held in memory until its turn, and its worker takes nothing else before. So a pull holds at
    most its number of workers times the size of a part.

    The first part goes alone. When the server shows by its answer that it serves ranges, `granted` is called, once, and
    the other parts may be asked for; when it sends the whole instead, the first part takes it all.
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
        """Every byte is here and verified."""
        self._part_bytes = part_bytes
        self._stopped = stopped
        self._granted = granted
        self._hash = hashlib.new(descriptor.digest.partition(":")[0])
        self._changed = threading.Condition()
        self._path = path
        self._file: int | None = None

    def __len__(self) -> int:
        """How many parts there are."""
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
        """A copy, so that an attempt that fails half-way leaves nothing behind."""
        return self._hash.copy()

    def write(self, chunk: bytes, offset: int) -> None:
        """Put bytes where they belong in the file; nothing where there is none. Raises OSError."""
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
        """Until it is the part's turn; False where the pull was stopped before."""
        with self._changed:
            while self.turn != index and not self._stopped():
                self._changed.wait(_SLICE_S)
            return self.turn == index

    def commit(self, hashed: "_Hash", end: int) -> None:
        """Take what the part whose turn it is has hashed; with the last byte the whole is synced and verified."""
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
        """Close the file; no part may be under way."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class PartBody:
    """One attempt at a part: bytes `first` to `end`, the latter not included."""

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
        """A 206 of just these bytes; a 200 only for the first part, which then takes the whole."""
        if status == 206:
            self._check(", ".join(headers.get("content-range", ())))
            self._blob.grant()
            return True
        if status != 200:
            return False
        if self._blob.is_granted:
            raise BodyRefusedError(
                ErrorCode.NOT_A_REGISTRY,
                f"200 where {self.note} was asked, though other parts came as ranges: the servers behind this "
                "name differ",
            )
        self._is_whole, self._end = True, self._blob.descriptor.size_bytes
        return True

    def _check(self, said: str) -> None:
        found, size = _CONTENT_RANGE.fullmatch(said.strip()), self._blob.descriptor.size_bytes
        if found is None:
            raise BodyRefusedError(ErrorCode.NOT_A_REGISTRY, f"206 with Content-Range {said[:80]!r}")
        if (int(found[1]), int(found[2])) != (self._first, self._end - 1) or found[3] not in ("*", str(size)):
            raise BodyRefusedError(ErrorCode.DIGEST_MISMATCH, f"{said[:80]} where {self.note} was asked")

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
        """The layer's hash up to what has come of this part; nothing is held any more."""
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
                f"{self.received_bytes} of the {wanted} bytes of {self.note} of {self._blob.descriptor.digest}",
            )
        if self._blob.turn != self._index:
            raise BodyRefusedError(ErrorCode.CANCELLED, "stopped before the parts before this one were there")
        self._blob.commit(self._hash or self._caught_up(), self._end)

    def close(self) -> None:
        self._held.clear()
