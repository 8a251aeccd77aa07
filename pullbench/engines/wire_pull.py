"""One pull by the wire engine: manifest, then config and layers in parallel lanes, each tried as often as allowed."""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, wait
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TypeVar

from pullbench.engines.base import PullOutcome, PullRequest, backoff_s
from pullbench.engines.clock import Clock
from pullbench.engines.wire_body import BlobBody, CheckedBody, ManifestBody
from pullbench.engines.wire_record import Attempt, PullLog
from pullbench.engines.wire_session import Session
from pullbench.errors import RETRYABLE, ErrorCode, RegistryError
from pullbench.model.manifest import ACCEPT, Descriptor, Index, Manifest, ManifestError, parse_manifest
from pullbench.model.platform import Platform
from pullbench.model.record import Transfer, TransferKind

BodyT = TypeVar("BodyT", bound=CheckedBody)

_SLICE_S = 0.05  # how soon a waiting pull sees that it was cancelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What a pull works with: the engine's clock, the trial's threads, and where bytes go."""

    clock: Clock
    lanes: int
    """Blobs of one pull at once."""
    executor: Executor | None
    """Runs the lanes beside the pull's own thread; None where there is but one lane."""
    new_path: Callable[[], Path] | None
    """A fresh file for each blob; None to drop what was verified."""
    cancelled: Callable[[], bool]


class WirePull:
    """The state of one pull. `run` is called once; it raises nothing for what a server does."""

    def __init__(self, request: PullRequest, session: Session, workshop: Workshop) -> None:
        self._request = request
        self._session = session
        self._workshop = workshop
        self._clock = workshop.clock
        self._repository = request.route.repository(request.reference)
        self._log = PullLog(request.pull)
        self._lock = threading.Lock()
        self._failure: RegistryError | None = None
        self._deadline_s = 0.0

    def run(self) -> PullOutcome:
        """Pull, and tell what came of it."""
        started_s = self._clock.monotonic()
        self._deadline_s = started_s + self._request.timeout_s
        manifest: Manifest | None = None
        auth_s = resolve_s = download_s = None
        try:
            manifest = self._resolve()
        except RegistryError as error:
            self._failure = error
        finally:
            resolved_s = self._clock.monotonic()
            auth_s = self._log.auth_s
            resolve_s = max(0.0, resolved_s - started_s - auth_s)
        if manifest is not None:
            self._download(manifest)
            download_s = self._clock.monotonic() - resolved_s
        return self._outcome(manifest, auth_s, resolve_s, download_s)

    # Manifest

    def _resolve(self) -> Manifest:
        found = self._manifest(self._request.reference.locator, None)
        if isinstance(found, Index):
            chosen = found.select(Platform.parse(self._request.platform))
            if chosen is None:
                there = ", ".join(str(platform) for platform in found.platforms) or "none"
                raise self._error(ErrorCode.PLATFORM_MISSING, f"no {self._request.platform} among: {there}")
            found = self._manifest(chosen.digest, chosen.size_bytes)
        if isinstance(found, Index):
            raise self._error(ErrorCode.NOT_A_REGISTRY, "an index inside an index")
        return found

    def _manifest(self, digest: str, size_bytes: int | None) -> Manifest | Index:
        body = self._fetch(
            f"manifests/{digest}",
            lambda: ManifestBody(digest, size_bytes),
            kind="manifest",
            digest=digest,
            headers={"Accept": ACCEPT},
        )
        try:
            return parse_manifest(bytes(body.content))
        except ManifestError as error:
            raise self._error(ErrorCode.NOT_A_REGISTRY, str(error)) from error

    def _error(self, code: ErrorCode, detail: str) -> RegistryError:
        where = f"GET {self._request.route.url}/v2/{self._repository}/manifests/{self._request.reference.locator}"
        return RegistryError(code, where, detail)

    # Config and layers

    def _download(self, manifest: Manifest) -> None:
        """All blobs, in the manifest's order, by as many lanes as allowed; this thread is the first of them."""
        todo = deque(manifest.blobs)
        config = manifest.config.digest
        lanes = min(self._workshop.lanes, len(todo))
        executor = self._workshop.executor
        others = [executor.submit(self._lane, todo, config) for _ in range(lanes - 1)] if executor else []
        try:
            self._lane(todo, config)
        finally:
            wait([lane for lane in others if not lane.cancel()])
        for lane in others:
            if not lane.cancelled():
                lane.result()  # an error here is a bug, and must be seen

    def _lane(self, todo: deque[Descriptor], config: str) -> None:
        while not self._stopped():
            try:
                blob = todo.popleft()
            except IndexError:
                return
            try:
                self._blob(blob, "config" if blob.digest == config else "layer")
            except RegistryError as error:
                self._fail(error)

    def _blob(self, blob: Descriptor, kind: TransferKind) -> None:
        new_path = self._workshop.new_path
        self._fetch(
            f"blobs/{blob.digest}",
            lambda: BlobBody(blob, new_path() if new_path else None),
            kind=kind,
            digest=blob.digest,
            headers={},
        )

    def _fail(self, error: RegistryError) -> None:
        """The first failure is the pull's; what it stops is not."""
        with self._lock:
            if self._failure is None:
                self._failure = error

    def _stopped(self) -> bool:
        return self._failure is not None or self._workshop.cancelled()

    # Attempts

    def _fetch(
        self, path: str, make_body: Callable[[], BodyT], *, kind: TransferKind, digest: str, headers: Mapping[str, str]
    ) -> BodyT:
        for number in count(1):
            body = make_body()
            attempt = Attempt(
                log=self._log,
                number=number,
                repository=self._repository,
                deadline_s=self._deadline_s,
                stopped=self._stopped,
            )
            try:
                self._session.get(path, body, attempt, kind=kind, digest=digest, headers=headers)
                return body
            except RegistryError as error:
                if not self._wait_to_retry(error, number):
                    raise
            finally:
                body.close()
        raise AssertionError("unreachable")

    def _wait_to_retry(self, error: RegistryError, number: int) -> bool:
        """Wait as long as the server asks, or as base.backoff_s says; False where another try is not due."""
        if error.code not in RETRYABLE or number > self._request.retries:
            return False
        until_s = self._clock.monotonic() + backoff_s(number, error.retry_after_s)
        if until_s >= self._deadline_s:
            return False
        while (left_s := until_s - self._clock.monotonic()) > 0:
            if self._stopped():
                raise self._error(ErrorCode.CANCELLED, "stopped before the next attempt") from error
            self._clock.sleep(min(left_s, _SLICE_S))
        return True

    # Outcome

    def _outcome(
        self, manifest: Manifest | None, auth_s: float, resolve_s: float, download_s: float | None
    ) -> PullOutcome:
        rows = sorted(self._log.rows, key=lambda row: row.started_at)
        failure = self._failure
        if failure is None and manifest is not None and self._workshop.cancelled():
            failure = self._cancelled_before_the_end(manifest, rows)
        content = [row for row in rows if row.kind in ("config", "layer")]
        return PullOutcome(
            ok=failure is None,
            error_code=failure.code if failure else None,
            error=f"{failure.where}: {failure.detail}" if failure else None,
            attempts=max((row.attempt for row in rows), default=1),
            bytes=sum(row.bytes or 0 for row in content),
            layers=len(manifest.layers) if manifest else None,
            auth_s=auth_s,
            resolve_s=resolve_s,
            download_s=download_s,
            served_by=_main_source(content or rows),
            transfers=tuple(rows),
        )

    def _cancelled_before_the_end(self, manifest: Manifest, rows: list[Transfer]) -> RegistryError | None:
        done = {row.digest for row in rows if row.error_code is None}
        if all(blob.digest in done for blob in manifest.blobs):
            return None
        return self._error(ErrorCode.CANCELLED, "stopped before every layer was there")


def _main_source(rows: list[Transfer]) -> str | None:
    """Who served the largest part."""
    known = [row for row in rows if row.served_by is not None]
    return max(known, key=lambda row: row.bytes or 0).served_by if known else None
