"""Where the bytes of an answer go, and whether they are what was promised: size and digest of every one."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from pullbench.engines.wire.curl_receiver import BodyRefusedError
from pullbench.errors import ErrorCode
from pullbench.model.manifest import ACCEPT, MAX_MANIFEST_BYTES, Descriptor
from pullbench.registry.auth import MAX_TOKEN_BYTES, Token, read_token


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
