"""Pull-through: a lab registry fetches missing content from another registry, passes it on while it arrives, and stores it."""

import hashlib
import http.client
import random
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from pullbench.lab.contents import Contents, Counters, StoredBlob, StoredManifest, digest_of
from pullbench.model.manifest import ACCEPT, MAX_MANIFEST_BYTES
from pullbench.model.reference import is_digest

_TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 18


class UpstreamError(Exception):
    """The upstream refused (with its status), or did not answer as a registry (502)."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamAnswer:
    """A small, completely read answer of the upstream."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """A blob that the upstream has and the cache lacks."""

    size_bytes: int


class Fetch:
    """A blob in transfer: a growing file with any number of readers.

    The last byte is held back until the whole is verified and stored, so wrong content never arrives complete, and a reader of
    the whole finds it in the cache.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._path: Path | None = None
        self._size: int | None = None
        self._available = 0
        self._error: UpstreamError | None = None

    @property
    def size_bytes(self) -> int:
        """The size that the upstream announced; waits for its headers. Raises UpstreamError."""
        with self._changed:
            self._changed.wait_for(lambda: self._size is not None or self._error is not None)
            if self._size is None:
                raise self._error or UpstreamError(502, "no size")
            return self._size

    def open(self) -> BinaryIO:
        """The file with the bytes so far. Raises UpstreamError."""
        with self._changed:
            if self._error is not None or self._path is None:
                raise self._error or UpstreamError(502, "not begun")
            return self._path.open("rb")

    def wait_beyond(self, offset: int) -> int:
        """The number of readable bytes, once it is more than `offset`. Raises UpstreamError if no more will arrive."""
        with self._changed:
            self._changed.wait_for(lambda: self._available > offset or self._error is not None)
            if self._error is not None:
                raise self._error
            return self._available

    def begin(self, path: Path, size_bytes: int) -> None:
        with self._changed:
            self._path, self._size = path, size_bytes
            self._changed.notify_all()

    def grow(self, received_bytes: int) -> None:
        with self._changed:
            self._available = max(0, received_bytes - 1)
            self._changed.notify_all()

    def move(self, path: Path) -> None:
        """Give the file its final name; readers that open it meanwhile find one of the two."""
        with self._changed:
            assert self._path is not None
            self._path = self._path.rename(path)

    def end(self) -> None:
        with self._changed:
            self._available = self._size or 0
            self._changed.notify_all()

    def fail(self, error: UpstreamError) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()


class PullThrough:
    """The anonymous upstream of one registry, `http://HOST:PORT`; verified blobs are stored as files in `folder`.

    With `forgets`, that share of the requests for a stored layer finds it missing, drawn by the `seed`.
    """

    def __init__(
        self, url: str, *, folder: Path, contents: Contents, counters: Counters, forgets: float = 0.0, seed: int = 1
    ) -> None:
        self._forgets, self._draws = forgets, random.Random(seed)
        self._host = urlsplit(url).netloc
        self._folder = folder
        self._contents = contents
        self._counters = counters
        self._lock = threading.Lock()
        self._fetches: dict[str, Fetch] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def manifest(self, repository: str, reference: str) -> tuple[StoredManifest, bool]:
        """The manifest, and whether it was in the cache. A stored tag costs one HEAD, as in CNCF distribution; if the
        upstream does not answer, the stored one is used. Raises UpstreamError.
        """
        held = self._contents.manifest(repository, reference)
        path = f"/v2/{repository}/manifests/{reference}"
        if held is not None and (is_digest(reference) or not self._has_moved(path, held)):
            return held, True
        answer = self.ask("GET", path)
        if answer.status != 200:
            raise UpstreamError(answer.status, f"GET {path}: {answer.status}")
        if is_digest(reference) and digest_of(answer.body) != reference:
            raise UpstreamError(502, f"GET {path}: the content does not match its digest")
        tag = None if is_digest(reference) else reference
        media_type = answer.headers.get("content-type", "")
        return self._contents.put_manifest(repository, answer.body, media_type, tag=tag), False

    def blob(self, repository: str, digest: str) -> StoredBlob | Fetch:
        """The stored blob, else its transfer, started now or joined."""
        with self._lock:
            held = self._contents.blob_of_any(digest)
            if held is not None and not (self._contents.is_layer(digest) and self._draws.random() < self._forgets):
                self._contents.link_blob(repository, held)
                return held
            if digest not in self._fetches:
                fetch = self._fetches[digest] = Fetch()
                threading.Thread(target=self._fetch, args=(repository, digest, fetch), daemon=True).start()
            return self._fetches[digest]

    def look(self, repository: str, digest: str) -> StoredBlob | Elsewhere:
        """The answer to HEAD: the stored blob, else its size at the upstream; nothing is fetched."""
        held = self._contents.blob_of_any(digest)
        if held is not None:
            return held
        path = f"/v2/{repository}/blobs/{digest}"
        answer = self.ask("HEAD", path)
        size = answer.headers.get("content-length", "")
        if answer.status != 200 or not size.isdigit():
            raise UpstreamError(answer.status if answer.status >= 400 else 502, f"HEAD {path}: {answer.status}")
        return Elsewhere(size_bytes=int(size))

    def ask(self, method: str, path: str) -> UpstreamAnswer:
        """One exchange with a small answer. Raises UpstreamError if it fails."""
        connection = http.client.HTTPConnection(self._host, timeout=_TIMEOUT_S)
        self._counters.add("upstream_requests")
        try:
            connection.request(method, path, headers={"Accept": ACCEPT})
            response = connection.getresponse()
            body = response.read(MAX_MANIFEST_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            raise UpstreamError(502, f"{method} {path}: {error or type(error).__name__}") from error
        finally:
            connection.close()
        if len(body) > MAX_MANIFEST_BYTES:
            raise UpstreamError(502, f"{method} {path}: larger than {MAX_MANIFEST_BYTES} bytes")
        self._counters.add("upstream_bytes", len(body))
        headers = {name.lower(): value for name, value in response.getheaders()}
        return UpstreamAnswer(status=response.status, headers=headers, body=body)

    def _has_moved(self, path: str, held: StoredManifest) -> bool:
        try:
            answer = self.ask("HEAD", path)
        except UpstreamError:
            return False
        return answer.status == 404 or answer.headers.get("docker-content-digest", held.digest) != held.digest

    def _fetch(self, repository: str, digest: str, fetch: Fetch) -> None:
        connection = http.client.HTTPConnection(self._host, timeout=_TIMEOUT_S)
        self._counters.add("upstream_requests")
        # Readers of the transfer must learn of any failure of this thread.
        failure: UpstreamError | None = UpstreamError(502, f"blob {digest}: the transfer failed")
        try:
            self._receive(connection, repository, digest, fetch)
            path = self._folder / digest.replace(":", "-")
            fetch.move(path)
            self._contents.put_blob(repository, digest, path)
            failure = None
        except UpstreamError as error:
            failure = error
        except (OSError, http.client.HTTPException) as error:
            failure = UpstreamError(502, f"blob {digest}: {error or type(error).__name__}")
        finally:
            connection.close()
            with self._lock:
                del self._fetches[digest]
            if failure is None:
                fetch.end()
            else:
                fetch.fail(failure)

    def _receive(self, connection: http.client.HTTPConnection, repository: str, digest: str, fetch: Fetch) -> None:
        connection.request("GET", f"/v2/{repository}/blobs/{digest}")
        response = connection.getresponse()
        if response.status != 200 or response.length is None:
            raise UpstreamError(response.status if response.status >= 400 else 502, f"blob {digest}: {response.status}")
        hashed, received = hashlib.new(digest.partition(":")[0]), 0
        with tempfile.NamedTemporaryFile(dir=self._folder, buffering=0, delete=False) as file:
            temporary, size = Path(file.name), response.length
            fetch.begin(temporary, size)
            # One read of the socket at a time: waiting for a full buffer would hold back arrived data.
            while chunk := response.read1(_CHUNK_BYTES):
                hashed.update(chunk)
                file.write(chunk)
                received += len(chunk)
                self._counters.add("upstream_bytes", len(chunk))
                fetch.grow(received)
        if received != size or f"{digest.partition(':')[0]}:{hashed.hexdigest()}" != digest:
            temporary.unlink()
            raise UpstreamError(502, f"blob {digest}: {received} of {size} bytes, or wrong content")
