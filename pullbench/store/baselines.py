"""The run that others are compared with: one small file per benchmark name, next to the results.

    baselines/3f2a….json    {"name": …, "run_id": …, "set_at": …}

The file's name is a hash of the benchmark's name, because users choose the name and it may not be a valid path.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime

from pullbench.errors import UsageError
from pullbench.model.text import did_you_mean
from pullbench.store.dataset import ResultStore, check_run_id

_FOLDER = "baselines"


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The baseline run of one name."""

    name: str
    run_id: str
    set_at: datetime


class Baselines:
    """The baselines of one results directory."""

    def __init__(self, store: ResultStore) -> None:
        self._store = store

    def set(self, run_id: str, now: datetime) -> Baseline:
        """Make a stored run the baseline of its name, in place of the old one. UsageError if there is no such run."""
        run = self._store.run(run_id)
        made = Baseline(name=run.name, run_id=run.run_id, set_at=now.astimezone(UTC))
        document = {"name": made.name, "run_id": made.run_id, "set_at": made.set_at.isoformat()}
        self._store.files.put(_path(run.name), json.dumps(document).encode())
        return made

    def of(self, name: str) -> Baseline | None:
        """The baseline of a name; None if there is none."""
        return next(iter(self._read([_path(name)])), None)

    def all(self) -> list[Baseline]:
        """All baselines, by name."""
        paths = [f"{_FOLDER}/{file}" for file in self._store.files.names(_FOLDER)]
        return sorted(self._read(paths), key=lambda baseline: baseline.name)

    def remove(self, name: str) -> None:
        """Remove the baseline of a name; the run stays. UsageError if there is none."""
        if self.of(name) is None:
            known = [baseline.name for baseline in self.all()]
            raise UsageError(f"'{name}' has no baseline; {did_you_mean(name, known)}")
        self._store.files.remove(_path(name))

    def _read(self, paths: list[str]) -> list[Baseline]:
        return [self._parse(path, content) for path, content in self._store.files.read(paths).items()]

    def _parse(self, path: str, content: bytes) -> Baseline:
        try:
            found = json.loads(content)
            return Baseline(
                name=str(found["name"]),
                run_id=check_run_id(str(found["run_id"])),
                set_at=datetime.fromisoformat(found["set_at"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            where = self._store.files.where(path)
            raise UsageError(
                f"{where}: cannot read this baseline; remove the file and set the baseline again"
            ) from error


def _path(name: str) -> str:
    return f"{_FOLDER}/{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"
