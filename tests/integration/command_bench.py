"""Command-line engines on real clients, requests for images that were pushed, and a look at what they leave behind."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
from tests.integration.real_registry import PASSWORD, USERNAME, free_port

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Squid:
    """A squid that runs, and keeps nothing."""

    url: str
    log: Path

    def paths(self) -> list[str]:
        """What was asked through it so far."""
        return [line.split()[6] for line in self.log.read_text().splitlines()] if self.log.exists() else []


@contextlib.contextmanager
def squid(program: str, folder: Path) -> Iterator[Squid]:
    """Start one on a free port, with configuration and log of its own under `folder`; end it after the block."""
    folder.chmod(0o777)  # started by root, squid writes as another user
    port, log = free_port(), folder / "access.log"
    lines = (
        f"http_port 127.0.0.1:{port}",
        "http_access allow all",
        "cache deny all",
        "cache_mem 0 MB",
        "shutdown_lifetime 0 seconds",
        "visible_hostname squid.test",
        "pinger_enable off",
        f"access_log stdio:{log}",
        f"cache_log {folder}/cache.log",
        f"pid_filename {folder}/pid",
        f"coredump_dir {folder}",
    )
    (folder / "squid.conf").write_text("\n".join(lines) + "\n")
    process = subprocess.Popen(
        [program, "-N", "-f", str(folder / "squid.conf")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for_port(process, port)
        yield Squid(url=f"http://127.0.0.1:{port}", log=log)
    finally:
        process.terminate()
        process.wait(10)


def _wait_for_port(process: "subprocess.Popen[bytes]", port: int) -> None:
    until = time.monotonic() + 20
    while True:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError("squid does not start")
        time.sleep(0.05)
