"""Command-line engines on real clients, requests for images that were pushed, and a look at what they leave behind."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.debian_images import BuiltImage, BuiltIndex
from pullbench.engines.base import PullOutcome, PullRequest, TrialSetup
from pullbench.engines.catalog import make_engine
from pullbench.engines.clock import SystemClock
from pullbench.engines.command import CommandEngine
from pullbench.engines.command_folder import MARK, mounts_under
from pullbench.model.facts import PlatformImage
from pullbench.model.manifest import Manifest, parse_manifest
from pullbench.model.reference import Reference
from pullbench.model.route import Route
from pullbench.model.spec import EngineEntry
from pullbench.registry.keychain import Keychain
from tests.integration.real_registry import PASSWORD, USERNAME

_ENVIRON = {
    "BAD_USERNAME": USERNAME,
    "BAD_PASSWORD": "wrong-password",
    "GOOD_USERNAME": USERNAME,
    "GOOD_PASSWORD": PASSWORD,
}


class CommandBench:
    """One engine, its trials, and the folders that they had."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        entry = EngineEntry.model_validate({"name": kind, "kind": kind})
        engine = make_engine(entry, keychain=Keychain(environ=_ENVIRON), clock=SystemClock())
        assert isinstance(engine, CommandEngine)
        self.engine = engine
        self._folders: list[Path] = []

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
            return list(pool.map(self.engine.pull, requests))

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


def manifest_of(image: BuiltImage) -> Manifest:
    found = parse_manifest(image.manifest.content)
    assert isinstance(found, Manifest)
    return found


def request(
    repository: str,
    image: BuiltImage | BuiltIndex,
    url: str,
    *,
    pull: int = 0,
    platform: str = "linux/amd64",
    timeout_s: float = 60.0,
    retries: int = 0,
    **route: Any,
) -> PullRequest:
    chosen = image.platforms.get(platform) if isinstance(image, BuiltIndex) else image
    if chosen is None:  # the registry lacks it, which an engine has to find out
        assert isinstance(image, BuiltIndex)
        chosen = next(iter(image.platforms.values()))
    top = image.index if isinstance(image, BuiltIndex) else image.manifest
    return PullRequest(
        pull=pull,
        image=f"{repository}:1.0",
        reference=Reference(repository=repository, tag="1.0", digest=top.digest),
        is_index=isinstance(image, BuiltIndex),
        expected=PlatformImage(digest=chosen.manifest.digest, manifest=manifest_of(chosen)),
        platform=platform,
        route=Route(registry="r", url=url, **route),
        auth="persisted",
        timeout_s=timeout_s,
        retries=retries,
    )
