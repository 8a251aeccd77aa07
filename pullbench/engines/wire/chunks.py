"""A layer in parts: ranges of it come side by side, and are hashed in order as if it had come whole.

Hashing needs order. The part whose turn it is goes through the hash as it comes; a later one is held in memory until its
turn, and the lane that brought it takes nothing else before. So a pull holds at most its lanes times the size of a part.
"""

import hashlib
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pullbench.engines.wire.body import verify
from pullbench.engines.wire.curl_receiver import BodyRefusedError
from pullbench.engines.wire.record import RANGE_REFUSED
from pullbench.errors import ErrorCode
from pullbench.model.manifest import Descriptor

if TYPE_CHECKING:
    from hashlib import _Hash

_CONTENT_RANGE = re.compile(r"bytes\s+(\d+)-(\d+)/(\d+|\*)", re.ASCII | re.IGNORECASE)  # RFC 9110, section 14.4
_SLICE_S = 0.05  # how soon a part that waits for its turn sees that the pull was stopped

REFUSALS = (416, 501)
"""How a server says that it has no ranges, where it does not just send the whole."""


class ChunkedBlob:
    """What the parts of one layer share: the hash, whose turn it is, and the file.

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
