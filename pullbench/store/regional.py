"""The vantages of a regional benchmark and their results: one small file next to the results.

    regional/20261125T130501Z-3fa2.json

The runs are stored as usual, each with its vantage and the label `regional=ID`. A vantage that did not answer has no run, so
this file has its result.
"""

import dataclasses
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pullbench.errors import UsageError
from pullbench.store.dataset import ResultStore, check_run_id

LABEL = "regional"
"""The label of the runs; its value is the benchmark's identifier."""
_FOLDER = "regional"

Answer = Literal["complete", "incomplete", "missing"]
"""`incomplete`: the run ended early, and its results are stored. `missing`: nothing is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VantageResult:
    """One vantage: its run if there is one, and why it is not complete."""

    vantage: str
    answer: Answer
    run_id: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Regional:
    """One regional benchmark: the same spec from several vantages."""

    regional_id: str
    name: str
    started_at: datetime
    finished_at: datetime
    in_turn: bool
    """One vantage after the other; else all concurrently."""
    asked: tuple[VantageResult, ...]


class RegionalRecords:
    """The regional benchmarks of one results directory."""

    def __init__(self, store: ResultStore) -> None:
        self._store = store

    def write(self, record: Regional) -> None:
        """Store or replace a record."""
        document = dataclasses.asdict(record) | {
            "started_at": record.started_at.isoformat(),
            "finished_at": record.finished_at.isoformat(),
        }
        self._store.files.put(_path(record.regional_id), json.dumps(document, indent=1).encode())

    def read(self, regional_id: str) -> Regional:
        """A stored record; UsageError with the existing ones if it is missing."""
        path = _path(regional_id)
        content = self._store.files.read([path]).get(path)
        if content is None:
            known = ", ".join(self.ids()[:5]) or "none"
            raise UsageError(
                f"'{regional_id}' is not a regional benchmark in {self._store.files.where()}; there are: {known}"
            )
        return self._parse(path, content)

    def ids(self) -> list[str]:
        """The identifiers of the stored records, newest first."""
        names = [name.removesuffix(".json") for name in self._store.files.names(_FOLDER) if name.endswith(".json")]
        return sorted(names, reverse=True)

    def run_ids(self, regional_id: str) -> dict[str, str]:
        """The newest run of each vantage with the benchmark's label."""
        found: dict[str, str] = {}
        for run in self._store.runs():
            if run.labels.get(LABEL) == regional_id:
                found.setdefault(run.vantage, run.run_id)
        return found

    def _parse(self, path: str, content: bytes) -> Regional:
        try:
            found: dict[str, Any] = json.loads(content)
            return Regional(
                regional_id=check_run_id(found["regional_id"]),
                name=str(found["name"]),
                started_at=datetime.fromisoformat(found["started_at"]).astimezone(UTC),
                finished_at=datetime.fromisoformat(found["finished_at"]).astimezone(UTC),
                in_turn=bool(found["in_turn"]),
                asked=tuple(VantageResult(**entry) for entry in found["asked"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            where = self._store.files.where(path)
            raise UsageError(f"{where}: cannot read this record; remove the file") from error


def _path(regional_id: str) -> str:
    return f"{_FOLDER}/{check_run_id(regional_id)}.json"
