"""The record of what runs may leave behind: images pulled into a daemon's store, and images pushed to a registry.

One JSON object per trial, written before its first pull or push, so that killed runs are recorded too:

    brought/RUN_ID/trial-00007-5e884898.json    {"daemon": …, "image_ids": […], "references": […]}
    pushed/RUN_ID/trial-00007-SEED.json         {"registry": …, "images": ["pullbench/cold:…"], "reason": …, "credentials": …}

The first name ends with a hash of the daemon's name, so that a run resumed on another daemon overwrites nothing.
"""

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from pullbench.model.reference import is_digest
from pullbench.store.dataset import ResultStore, check_run_id

_BROUGHT = "brought"
_NAME = re.compile(r"trial-(\d{5,})-([0-9a-f]{8})\.json")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BroughtRecord:
    """The images that one trial may have pulled into one daemon's store."""

    run_id: str
    trial: int
    daemon: str
    """An identifier of the daemon's image store: the ID in `docker info`, for containerd's store with a suffix."""
    image_ids: tuple[str, ...]
    """Digests of configs, or of manifests in containerd's store."""
    references: tuple[str, ...]
    """As pulled: host/repository@digest."""

    @property
    def names(self) -> frozenset[str]:
        return frozenset((*self.image_ids, *self.references))


class Ledger:
    """The images that all runs of one results directory pulled into daemons."""

    def __init__(self, store: ResultStore) -> None:
        self._files = store.files

    def record(self, run_id: str, trial: int, daemon: str, names: Iterable[str]) -> None:
        """Record that a trial may pull these image IDs and references into a daemon, in addition to earlier records.

        Raises IncompleteError if it cannot be written: then nothing may be pulled.
        """
        path = f"{_BROUGHT}/{check_run_id(run_id)}/trial-{trial:05d}-{_short(daemon)}.json"
        recorded = {name for entry in self._read([path]) for name in entry.names} | set(names)
        content = {
            "daemon": daemon,
            "image_ids": sorted(name for name in recorded if is_digest(name)),
            "references": sorted(name for name in recorded if not is_digest(name)),
        }
        self._files.put(path, json.dumps(content).encode())

    def entries(self) -> tuple[BroughtRecord, ...]:
        """All entries, by run and trial; unreadable ones are left out with a warning in the log."""
        paths = [
            f"{_BROUGHT}/{run_id}/{name}"
            for run_id in self._files.names(_BROUGHT)
            for name in self._files.names(f"{_BROUGHT}/{run_id}")
        ]
        return tuple(self._read(paths))

    def brought(self, daemon: str) -> frozenset[str]:
        """Image IDs and references that any run may have pulled into a daemon's store."""
        return frozenset(name for entry in self.entries() if entry.daemon == daemon for name in entry.names)

    def forget(self, run_id: str, daemon: str | None = None) -> None:
        """Remove the records of a run for a daemon, or for all, after the images were removed."""
        folder = f"{_BROUGHT}/{check_run_id(run_id)}"
        for name in self._files.names(folder):
            found = _NAME.fullmatch(name)
            if daemon is None or (found is not None and found[2] == _short(daemon)):
                self._files.remove(f"{folder}/{name}")

    def _read(self, paths: Iterable[str]) -> Iterator[BroughtRecord]:
        for path, content in self._files.read(paths).items():
            try:
                yield _entry(path, content)
            except (ValueError, KeyError, TypeError) as error:
                _log.warning("%s: skipped, not a record of a run's images: %s", self._files.where(path), error)


def _short(daemon: str) -> str:
    return hashlib.sha256(daemon.encode()).hexdigest()[:8]


def _entry(path: str, content: bytes) -> BroughtRecord:
    _, run_id, name = path.split("/")
    found = _NAME.fullmatch(name)
    if found is None:
        raise ValueError("unexpected file name")
    document = json.loads(content)
    return BroughtRecord(
        run_id=run_id,
        trial=int(found[1]),
        daemon=_text(document["daemon"]),
        image_ids=tuple(map(_text, document["image_ids"])),
        references=tuple(map(_text, document["references"])),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a string is expected, not {value!r:.40}")
    return value


_PUSHED = "pushed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedRecord:
    """The images that one trial pushed and did not delete."""

    registry: str
    """Its URL."""
    images: tuple[str, ...]
    """repository:tag"""
    reason: str = "their push or the run did not finish"
    """Why they still exist."""
    credentials: str = "docker"
    """The source of credentials that may delete them, as in a spec."""
    ca_file: str | None = None
    sends_in_clear: bool = False
    """As in `Route`."""


class PushedImages:
    """The images that all runs of one results directory pushed."""

    def __init__(self, store: ResultStore) -> None:
        self._files = store.files

    def record(self, run_id: str, trial: int, pushed: PushedRecord) -> None:
        """Record what a trial may push. Raises IncompleteError if it cannot be written: then nothing may be pushed."""
        self._files.put(_pushed_path(run_id, trial, pushed), json.dumps(asdict(pushed)).encode())

    def forget(self, run_id: str, trial: int, pushed: PushedRecord) -> None:
        """Remove the record after a trial's images were deleted."""
        self._files.remove(_pushed_path(run_id, trial, pushed))

    def entries(self) -> dict[str, PushedRecord]:
        """The images that runs pushed and did not delete, by the file of the record."""
        folders = [f"{_PUSHED}/{run_id}" for run_id in self._files.names(_PUSHED)]
        return dict(self._read([f"{folder}/{name}" for folder in folders for name in self._files.names(folder)]))

    def strike(self, entry: str) -> None:
        """Remove an entry of `entries`, after its images were deleted."""
        self._files.remove(entry)

    def left(self, run_id: str) -> tuple[PushedRecord, ...]:
        """The images that a run pushed and did not delete, by trial."""
        folder = f"{_PUSHED}/{check_run_id(run_id)}"
        return tuple(pushed for _, pushed in self._read([f"{folder}/{name}" for name in self._files.names(folder)]))

    def _read(self, paths: Sequence[str]) -> Iterator[tuple[str, PushedRecord]]:
        for path, content in self._files.read(paths).items():
            try:
                found = json.loads(content)
                images = tuple(str(image) for image in found["images"])
                ca_file = found.get("ca_file")
                yield (
                    path,
                    PushedRecord(
                        registry=str(found["registry"]),
                        images=images,
                        reason=str(found["reason"]),
                        credentials=str(found.get("credentials", "docker")),
                        ca_file=None if ca_file is None else str(ca_file),
                        sends_in_clear=found.get("sends_in_clear") is True,
                    ),
                )
            except (ValueError, KeyError, TypeError) as error:
                _log.warning("%s: skipped, not a record of a run's pushes: %s", self._files.where(path), error)


def _pushed_path(run_id: str, trial: int, pushed: PushedRecord) -> str:
    # The tag differs for each attempt, so a resumed trial does not overwrite the record of a killed one.
    attempt = pushed.images[0].rpartition("-")[0].rpartition("-")[2]
    return f"{_PUSHED}/{check_run_id(run_id)}/trial-{trial:05d}-{attempt}.json"
