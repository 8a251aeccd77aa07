"""Command-line engines on real clients of any generation, and a look at what they leave behind.

What differs between versions of a client follows from what the client says of itself, never from where a test runs.
"""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

from pullbench.engines.base import PullOutcome, PullRequest, SystemClock, TrialSetup
from pullbench.engines.catalog import make_engine
from pullbench.engines.command.engine import CommandEngine
from pullbench.engines.command.folder import MARK, mounts_under
from pullbench.model.facts import EngineFacts
from pullbench.model.spec import EngineEntry
from pullbench.registry.keychain import Keychain
from tests.integration.asked import ENVIRON


class CommandBench:
    """One engine, its trials, and the folders that they had."""

    def __init__(self, kind: str, **options: Any) -> None:
        self.kind = kind
        entry = EngineEntry.model_validate({"name": kind, "kind": kind, **options})
        engine = make_engine(entry, keychain=Keychain(environ=ENVIRON), clock=SystemClock())
        assert isinstance(engine, CommandEngine)
        self.engine = engine
        self._folders: list[Path] = []

    @cached_property
    def facts(self) -> EngineFacts:
        return self.engine.facts()

    @property
    def prints_how_long_it_unpacked(self) -> bool:
        """ctr, where it downloads itself; where containerd does, it unpacks meanwhile."""
        return self.kind == "containerd" and "transfer service" not in (self.facts.version or "")

    @property
    def folder(self) -> Path:
        """Of the trial that is open, or was last."""
        return self._folders[-1]

    @contextlib.contextmanager
    def trial(self, *requests: PullRequest, cache: str = "cold") -> Iterator[None]:
        self.engine.open_trial(
            TrialSetup(
                trial=0,
                concurrency=len(requests),
                cache=cache,  # type: ignore[arg-type]
                cache_reset="own",
                requests=requests,
                before_pulls=lambda names: None,
            )
        )
        assert self.engine._trial is not None
        self._folders.append(self.engine._trial.folder.path)
        try:
            yield
        finally:
            self.engine.close_trial()

    def pull(self, *requests: PullRequest, cache: str = "cold") -> list[PullOutcome]:
        """All of them at once, in one trial."""
        with self.trial(*requests, cache=cache), ThreadPoolExecutor(len(requests)) as pool:
            return [outcome.verified() for outcome in pool.map(self.engine.pull, requests)]

    def left_behind(self) -> list[object]:
        """Folders, mounts and processes of trials that were."""
        return [
            *(folder for folder in self._folders if folder.exists()),
            *(mount for folder in self._folders for mount in mounts_under(folder)),
            *(process for folder in self._folders for process in processes_of(folder)),
        ]


def processes_of(folder: Path, *arguments: str) -> list[str]:
    """Command lines of the processes that work for a folder, or of those among them that have these arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal() and f"{MARK}={folder}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                line = (entry / "cmdline").read_bytes().decode().split("\0")
                if line != [""] and set(arguments) <= set(line):
                    found.append(" ".join(line))
    return found
