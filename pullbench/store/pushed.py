"""The record of synthetic images that runs pushed to registries, for people who would have them gone.

One JSON object a trial, written before the push, so that a run killed at any point has said what it may leave behind:

    pushed/RUN_ID/trial-00007-SEED.json    {"registry": …, "images": ["pullbench/cold:…"], "reason": …, "credentials": …}
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from pullbench.store.dataset import ResultStore, check_run_id

_FOLDER = "pushed"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What one trial pushed and did not take back."""

    registry: str
    """Its URL."""
    images: tuple[str, ...]
    """repository:tag"""
    reason: str = "their push or the run did not come to its end"
    """Why they are still there."""
    credentials: str = "docker"
    """Where those of one who may delete them are kept, as in a spec."""
    ca_file: str | None = None
    sends_in_clear: bool = False
    """As `Route` has it."""


class PushedImages:
    """What every run on one results folder pushed where."""

    def __init__(self, store: ResultStore) -> None:
        self._files = store.files

    def record(self, run_id: str, trial: int, pushed: Pushed) -> None:
        """Say what a trial may push. Raises IncompleteError where that cannot be written: then nothing may be pushed."""
        self._files.put(_path(run_id, trial, pushed), json.dumps(asdict(pushed)).encode())

    def forget(self, run_id: str, trial: int, pushed: Pushed) -> None:
        """What a trial pushed is gone again."""
        self._files.remove(_path(run_id, trial, pushed))

    def entries(self) -> dict[str, Pushed]:
        """What every run pushed and did not take back, by the file that says so."""
        folders = [f"{_FOLDER}/{run_id}" for run_id in self._files.names(_FOLDER)]
        return dict(self._read([f"{folder}/{name}" for folder in folders for name in self._files.names(folder)]))

    def strike(self, entry: str) -> None:
        """Forget an entry of `entries`: what it names is gone."""
        self._files.remove(entry)

    def left(self, run_id: str) -> tuple[Pushed, ...]:
        """What a run pushed and did not take back, by trial."""
        folder = f"{_FOLDER}/{check_run_id(run_id)}"
        return tuple(pushed for _, pushed in self._read([f"{folder}/{name}" for name in self._files.names(folder)]))

    def _read(self, paths: Sequence[str]) -> Iterator[tuple[str, Pushed]]:
        for path, content in self._files.read(paths).items():
            try:
                found = json.loads(content)
                images = tuple(str(image) for image in found["images"])
                ca_file = found.get("ca_file")
                yield (
                    path,
                    Pushed(
                        registry=str(found["registry"]),
                        images=images,
                        reason=str(found["reason"]),
                        credentials=str(found.get("credentials", "docker")),
                        ca_file=None if ca_file is None else str(ca_file),
                        sends_in_clear=found.get("sends_in_clear") is True,
                    ),
                )
            except (ValueError, KeyError, TypeError) as error:
                _log.warning("%s: no record of what a run pushed, left out: %s", self._files.where(path), error)


def _path(run_id: str, trial: int, pushed: Pushed) -> str:
    # The tag is another at each attempt, so a resumed trial does not overwrite what a killed one left.
    attempt = pushed.images[0].rpartition("-")[0].rpartition("-")[2]
    return f"{_FOLDER}/{check_run_id(run_id)}/trial-{trial:05d}-{attempt}.json"
