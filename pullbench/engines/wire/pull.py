"""One pull by the wire engine: manifest, then config and layers in parallel lanes; where it is staged, its bases first."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from pullbench.engines.base import Clock, PullOutcome, PullRequest
from pullbench.engines.wire.blob_queue import Lanes
from pullbench.engines.wire.fetch import Fetcher, Means
from pullbench.engines.wire.session import Session
from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.manifest import Manifest
from pullbench.model.record import Transfer
from pullbench.model.reference import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What a pull works with: the engine's clock, the trial's threads, and where bytes go."""

    clock: Clock
    lanes: int
    """Blobs of one pull at once."""
    executor: Executor | None
    """Runs the lanes beside the pull's own thread; None where there is but one lane."""
    chunk_bytes: int | None
    """Layers above it come in parts of it."""
    new_path: Callable[[], Path] | None
    """A fresh file for each blob; None to drop what was verified."""
    cancelled: Callable[[], bool]


class WirePull:
    """The state of one pull. `run` is called once; it raises nothing for what a server does.

    The request's bases are pulled whole before its own image, which then brings what they have not.
    """

    def __init__(self, request: PullRequest, session: Session, workshop: Workshop) -> None:
        self._request = request
        self._session = session
        self._workshop = workshop
        self._clock = workshop.clock
        self._manifest: Manifest | None = None
        self._auth_s = 0.0
        self._resolve_s = 0.0
        self._download_s: float | None = None

    def run(self) -> PullOutcome:
        """Pull, and tell what came of it; the duration ends before connections that are this pull's alone are closed."""
        workshop, started_s = self._workshop, self._clock.monotonic()
        with self._session.connections() as handles:
            means = Means(
                session=self._session,
                handles=handles,
                clock=self._clock,
                chunk_bytes=workshop.chunk_bytes,
                new_path=workshop.new_path,
                cancelled=workshop.cancelled,
            )
            fetcher = Fetcher(self._request, means)
            try:
                for reference in (*(base.reference for base in self._request.bases), self._request.reference):
                    if not fetcher.stopped():
                        self._stage(reference, fetcher)
            except RegistryError as error:
                fetcher.fail(error)
            finally:
                fetcher.close()
                ended_s = self._clock.monotonic()
        return self._outcome(fetcher, ended_s - started_s)

    def _stage(self, reference: Reference, fetcher: Fetcher) -> None:
        """One image, without what an earlier stage brought."""
        started_s, authorized_s = self._clock.monotonic(), fetcher.log.auth_s
        try:
            manifest = fetcher.manifest(reference)
        finally:
            resolved_s = self._clock.monotonic()
            auth_s = fetcher.log.auth_s - authorized_s
            self._auth_s += auth_s
            self._resolve_s += max(0.0, resolved_s - started_s - auth_s)
        if reference is self._request.reference:
            self._manifest = manifest
        chunked = self._workshop.chunk_bytes is not None
        lanes = Lanes(fetcher.stopped, grows=chunked)
        tasks = fetcher.blobs(reference, manifest, lanes)
        lanes.put_first(tasks)
        lanes.run(self._workshop.lanes if chunked else min(self._workshop.lanes, len(tasks)), self._workshop.executor)
        self._download_s = (self._download_s or 0.0) + self._clock.monotonic() - resolved_s

    def _outcome(self, fetcher: Fetcher, duration_s: float) -> PullOutcome:
        rows = sorted(fetcher.log.rows, key=lambda row: row.started_at)
        failure, manifest = fetcher.failure, self._manifest
        if failure is None and (manifest is None or any(blob.digest not in fetcher.fetched for blob in manifest.blobs)):
            detail = "stopped before every layer was there"
            failure = fetcher.error(ErrorCode.CANCELLED, self._request.reference, detail)
        content = [row for row in rows if row.kind in ("config", "layer")]
        return PullOutcome(
            ok=failure is None,
            error_code=failure.code if failure else None,
            error=f"{failure.where}: {failure.detail}" if failure else None,
            attempts=max((row.attempt for row in rows), default=1),
            bytes=sum(row.bytes or 0 for row in content),
            layers=len(manifest.layers) if manifest else None,
            auth_s=self._auth_s,
            resolve_s=self._resolve_s,
            download_s=self._download_s,
            served_by=_main_source(content or rows),
            transfers=tuple(rows),
            duration_s=duration_s,
        )


def _main_source(rows: list[Transfer]) -> str | None:
    """Who served the largest part."""
    known = [row for row in rows if row.served_by is not None]
    return max(known, key=lambda row: row.bytes or 0).served_by if known else None
