"""The record of synthetic images that runs pushed to registries, for people who would have them gone.

One JSON object a trial, written before the push, so that a run killed at any point has said what it may leave behind:

    pushed/RUN_ID/trial-00007.json    {"registry": …, "images": ["pullbench/cold:…"], "reason": …}
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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


class PushedImages:
    """What every run on one results folder pushed where."""

    def __init__(self, store: ResultStore) -> None:
        self._files = store.files

    def record(self, run_id: str, trial: int, pushed: Pushed) -> None:
        """Say what a trial may push. Raises IncompleteError where that cannot be written: then nothing may be pushed."""
        content = {"registry": pushed.registry, "images": pushed.images, "reason": pushed.reason}
        self._files.put(_path(run_id, trial, pushed), json.dumps(content).encode())

    def forget(self, run_id: str, trial: int, pushed: Pushed) -> None:
        """What a trial pushed is gone again."""
        self._files.remove(_path(run_id, trial, pushed))

    def left(self, run_id: str) -> tuple[Pushed, ...]:
        """What a run pushed and did not take back, by trial."""
        folder = f"{_FOLDER}/{check_run_id(run_id)}"
        return tuple(self._read([f"{folder}/{name}" for name in self._files.names(folder)]))

    def _read(self, paths: Sequence[str]) -> Iterator[Pushed]:
        for path, content in self._files.read(paths).items():
            try:
                found = json.loads(content)
                images = tuple(str(image) for image in found["images"])
                yield Pushed(registry=str(found["registry"]), images=images, reason=str(found["reason"]))
            except (ValueError, KeyError, TypeError) as error:
                _log.warning("%s: no record of what a run pushed, left out: %s", self._files.where(path), error)


def _path(run_id: str, trial: int, pushed: Pushed) -> str:
    # The tag is another at each attempt, so a resumed trial does not overwrite what a killed one left.
    attempt = pushed.images[0].rpartition("-")[0].rpartition("-")[2]
    return f"{_FOLDER}/{check_run_id(run_id)}/trial-{trial:05d}-{attempt}.json"
