"""The base of engines that are command-line clients: one process a pull, in storage that is that pull's alone.

What the client keeps between pulls is made before the clock starts and removed after it ends. The pull itself is the
client as people use it, its own start included. What it brought is looked at before its word is believed, and after the
last pull of the trial, for looking takes processes that would compete with the pulls under way.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from pullbench.engines.base import Clock, PullOutcome, PullRequest, TrialSetup
from pullbench.engines.command.folder import CommandFolder
from pullbench.engines.command.process import Command, Ended, StopSignal, find_program, last_words, run
from pullbench.errors import RETRYABLE, ErrorCode, RegistryError, classify
from pullbench.model.facts import EngineFacts
from pullbench.model.platform import Platform
from pullbench.model.spec import EngineEntry
from pullbench.registry.answer import backoff_s
from pullbench.registry.keychain import Keychain


class CommandFailed(Exception):  # noqa: N818  (a result between the base and its engines, not an error of theirs)
    """What the client was asked could not be had: a code of the closed list, and a line for people."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What stands in a store after a pull."""

    image_id: str
    """Digest of the image's config."""
    platform: Platform
    layers: Mapping[str, int | None]
    """Digest → size as it came, of every layer in the store; None where the client does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandAttempt:
    """One attempt of a pull: the client says that it succeeded, or it has a code. `ended` is the monotonic second of its end."""

    ended: float
    store: Path
    code: ErrorCode | None = None
    error: str | None = None
    extract_s: float | None = None


def verify(request: PullRequest, brought: Brought, program: str) -> None:
    """Hold what came against what was asked; raises CommandFailed.

    Some clients take an image that is no index for any platform, so their word is not enough.
    """
    asked, promised = Platform.parse(request.platform), request.expected.manifest
    if not asked.accepts(brought.platform):
        raise CommandFailed(
            ErrorCode.PLATFORM_MISSING, f"asked for {asked}, {program} brought an image for {brought.platform}"
        )
    if brought.image_id != promised.config.digest:
        raise CommandFailed(
            ErrorCode.DIGEST_MISMATCH,
            f"{program} brought the image {brought.image_id}, the manifest promised {promised.config.digest}",
        )
    for layer in promised.layers:
        if layer.digest not in brought.layers:
            raise CommandFailed(
                ErrorCode.DIGEST_MISMATCH,
                f"{program} said that all is there, and its store lacks the layer {layer.digest}",
            )


def outcome(
    request: PullRequest,
    last: CommandAttempt,
    brought: Brought | None,
    *,
    held: frozenset[str],
    attempts: int,
    duration_s: float,
    reads_config_again: bool,
) -> PullOutcome:
    """The figures of a pull that has ended. `held` is what its store held before; what nobody can know is None."""
    if brought is None:
        return PullOutcome(ok=False, error_code=last.code, error=last.error, attempts=attempts, duration_s=duration_s)
    manifest = request.expected.manifest
    came = {layer.digest: brought.layers[layer.digest] for layer in manifest.layers if layer.digest not in held}
    if reads_config_again or manifest.config.digest not in held:
        came[manifest.config.digest] = manifest.config.size_bytes
    sizes = [size for size in came.values() if size is not None]
    # What attempts that failed received is not known, nor what a client brought and does not tell the size of.
    known = attempts == 1 and len(sizes) == len(came)
    return PullOutcome(
        ok=True,
        attempts=attempts,
        bytes=sum(sizes) if known else None,
        layers=len(manifest.layers),
        layers_cached=sum(layer.digest in held for layer in manifest.layers),
        layers_shared=0,  # a store is one pull's alone
        extract_s=last.extract_s,
        duration_s=duration_s,
    )


SETUP_S = 60.0
"""How long a command beside the pulls may take: making a store, looking into it."""
_NAP_S = 0.1  # how long a back-off sleeps before it looks whether the run was stopped


@dataclass(slots=True, kw_only=True)
class _CommandTrial:
    folder: CommandFolder
    setup: TrialSetup
    stores: dict[int, Path] = field(default_factory=dict)
    held: dict[int, frozenset[str]] = field(default_factory=dict)
    """Digests of what a pull's store held before it."""


class CommandEngine(ABC):
    """Pulls with a program. A subclass says which, how it is called, and how to look into its storage."""

    kind: ClassVar[str]
    program: ClassVar[str]
    package: ClassVar[str]
    """Debian's name of what brings the program."""
    reads_config_again: ClassVar[bool]
    """It fetches the config of an image that it has already."""

    def __init__(self, entry: EngineEntry, *, keychain: Keychain, clock: Clock) -> None:
        self.name = entry.name
        self._keychain = keychain
        self._clock = clock
        self._stop = StopSignal()
        self._trial: _CommandTrial | None = None

    @abstractmethod
    def _version(self, folder: Path) -> str:
        """The client's version, having tried in `folder` that it works here; raises CommandFailed where it does not."""

    @abstractmethod
    def _open(self, folder: Path, setup: TrialSetup) -> None:
        """Write or start what all pulls of a trial share; raises CommandFailed."""

    @abstractmethod
    def _make_store(self, store: Path) -> None:
        """Make an empty store; raises CommandFailed."""

    @abstractmethod
    def _command(self, request: PullRequest, store: Path, timeout_s: float) -> Command: ...

    @abstractmethod
    def _held(self, store: Path) -> frozenset[str]:
        """Digests of the blobs in a store, its layers at least; raises CommandFailed."""

    @abstractmethod
    def _brought(self, request: PullRequest, store: Path) -> Brought:
        """What a pull that succeeded left in its store; raises CommandFailed."""

    def _extract_s(self, stdout: str) -> float | None:  # noqa: ARG002  (most do not say)
        """Seconds of unpacking, where the client prints them."""
        return None

    def _close(self) -> None:  # noqa: B027  (most have nothing running)
        """End what `_open` started."""

    def facts(self) -> EngineFacts:
        """Version, or why the client cannot be used here, and what to install; never raises."""
        unavailable = self._missing()
        if unavailable is None:
            try:
                with CommandFolder.open() as folder:
                    return EngineFacts(name=self.name, kind=self.kind, version=self._version(folder.path))
            except (CommandFailed, OSError) as error:
                unavailable = f"{self.program} does not work here: {error}"
        return EngineFacts(name=self.name, kind=self.kind, unavailable=unavailable)

    def _missing(self) -> str | None:
        if not hasattr(os, "pidfd_open"):
            return f"the engine needs Linux, for it keeps hold of {self.program} by its pidfd"
        if find_program(self.program) is None:
            return (
                f"{self.program} is not installed: install {self.package} "
                f"(`apt-get install {self.package}`), or take the engine out of the spec"
            )
        return None

    def open_trial(self, setup: TrialSetup) -> None:
        """Make every pull's store, and fill it where it is to be warm; untimed.

        Raises UsageError where credentials cannot be read, RegistryError where the client cannot make its stores.
        """
        self.close_trial()
        self._trial = trial = _CommandTrial(folder=CommandFolder.open(), setup=setup)
        try:
            self._open(trial.folder.path, setup)
            for request in setup.requests:
                self._prepare(request, trial)
        except CommandFailed as error:
            self.close_trial()
            raise RegistryError(error.code, f"engine '{self.name}'", str(error)) from None
        except BaseException:
            self.close_trial()
            raise

    def _prepare(self, request: PullRequest, trial: _CommandTrial) -> None:
        """Make a pull's store; where filling it fails, the pull that is measured fails or shows that it was cold."""
        store = trial.stores[request.pull] = self._new_store(trial, request, 1)
        if trial.setup.cache == "warm" and not self._stop.is_set:
            self._attempt(request, store, self._clock.monotonic() + request.timeout_s)
        trial.held[request.pull] = self._held(store)

    def _new_store(self, trial: _CommandTrial, request: PullRequest, attempt: int) -> Path:
        store = trial.folder.path / f"{request.pull}-{attempt}"
        self._make_store(store)
        return store

    def pull(self, request: PullRequest) -> PullOutcome:
        """One image with all its attempts; its duration ends with the client. What that brought is looked at by `verify`."""
        trial = self._trial
        if trial is None:
            raise RuntimeError("pull() before open_trial()")
        started = self._clock.monotonic()
        deadline = started + request.timeout_s
        attempts, last = 1, self._attempt(request, trial.stores[request.pull], deadline)
        while last.code in RETRYABLE and attempts <= request.retries:
            resume_at = last.ended + backoff_s(attempts)
            if resume_at >= deadline:
                break
            attempts += 1
            last = self._again(request, trial, attempts, resume_at, deadline)
        duration_s = last.ended - started
        if last.code is not None:
            return self._outcome(request, trial, last, None, attempts, duration_s)
        verify_later = partial(self._verify, request, trial, last, attempts, duration_s)
        return PullOutcome(ok=True, attempts=attempts, duration_s=duration_s, verify=verify_later)

    def _verify(
        self, request: PullRequest, trial: _CommandTrial, last: CommandAttempt, attempts: int, duration_s: float
    ) -> PullOutcome:
        """Look at what the client says that it brought."""
        brought = None
        try:
            brought = self._brought(request, last.store)
            verify(request, brought, self.program)
        except CommandFailed as error:
            brought, last = None, replace(last, code=error.code, error=str(error))
        return self._outcome(request, trial, last, brought, attempts, duration_s)

    def _outcome(
        self,
        request: PullRequest,
        trial: _CommandTrial,
        last: CommandAttempt,
        brought: Brought | None,
        attempts: int,
        duration_s: float,
    ) -> PullOutcome:
        return outcome(
            request,
            last,
            brought,
            held=trial.held[request.pull],
            attempts=attempts,
            duration_s=duration_s,
            reads_config_again=self.reads_config_again,
        )

    def _again(
        self, request: PullRequest, trial: _CommandTrial, attempt: int, resume_at: float, deadline: float
    ) -> CommandAttempt:
        """The next attempt, after its back-off; where the pull is to be cold, its fresh store is made meanwhile."""
        store = trial.stores[request.pull]
        try:
            if trial.setup.cache == "cold":
                store = self._new_store(trial, request, attempt)
        except CommandFailed as error:
            return CommandAttempt(ended=self._clock.monotonic(), store=store, code=error.code, error=str(error))
        if not self._rest_until(resume_at):
            text = "the run was stopped"
            return CommandAttempt(ended=self._clock.monotonic(), store=store, code=ErrorCode.CANCELLED, error=text)
        return self._attempt(request, store, deadline)

    def _rest_until(self, instant: float) -> bool:
        """Wait; False where the run is stopped meanwhile."""
        while (left := instant - self._clock.monotonic()) > 0 and not self._stop.is_set:
            self._clock.sleep(min(left, _NAP_S))
        return not self._stop.is_set

    def _attempt(self, request: PullRequest, store: Path, deadline: float) -> CommandAttempt:
        started = self._clock.monotonic()
        command = self._command(request, store, deadline - started)
        try:
            ended = run(command, clock=self._clock, deadline=deadline, stop=self._stop)
        except OSError as error:
            text = f"{self.program} cannot be started: {error.strerror}"
            return CommandAttempt(
                ended=self._clock.monotonic(), store=store, code=ErrorCode.ENGINE_UNAVAILABLE, error=text
            )
        code, text = self._failure(ended, request)
        if code is not None:
            return CommandAttempt(ended=ended.ended, store=store, code=code, error=text)
        return CommandAttempt(ended=ended.ended, store=store, extract_s=self._extract_s(ended.stdout))

    def _failure(self, ended: Ended, request: PullRequest) -> tuple[ErrorCode | None, str]:
        said = last_words(ended.stderr)
        if ended.stopped is not None:
            why = (
                "the run was stopped"
                if ended.stopped is ErrorCode.CANCELLED
                else f"no end after {request.timeout_s:g} s"
            )
            doubt = "" if ended.returncode is not None else f"; {self.program} did not end even by SIGKILL"
            return ended.stopped, f"{why}{doubt}; {self.program} said last: {said}" if said else f"{why}{doubt}"
        if ended.was_trying_again:
            return classify(said), said
        if ended.returncode is not None and ended.returncode < 0:
            return ErrorCode.ENGINE_UNAVAILABLE, f"{self.program} was killed by signal {-ended.returncode}"
        if ended.returncode != 0:
            return classify(said), said or f"{self.program} failed with {ended.returncode} and said nothing"
        return None, ""

    def close_trial(self) -> None:
        """End what still runs for the trial, and remove its folder with every store."""
        trial, self._trial = self._trial, None
        if trial is not None:
            try:
                self._close()
            finally:
                trial.folder.close()

    def cancel(self) -> None:
        """End what is under way, as `cancelled`; for good. Safe in a signal handler."""
        self._stop.set()

    def close(self) -> None:
        self.close_trial()
        self._stop.close()

    def _ask(self, command: Command) -> str:
        """What a command beside the pulls prints; raises CommandFailed with what it said where it fails."""
        deadline = self._clock.monotonic() + SETUP_S
        ended = run(command, clock=self._clock, deadline=deadline)
        if ended.returncode != 0 or ended.stopped is not None:
            said = last_words(ended.stderr) or f"`{' '.join(command.arguments[:2])}` failed and said nothing"
            raise CommandFailed(classify(said), said)
        return ended.stdout
