"""The base of engines that are command-line clients: one process per pull, each with its own storage.

The storage is created before the clock starts and removed after it ends. The timed pull is the client as people use it,
including its start. Its result is verified after the last pull of the trial, because verification starts processes that
would compete with running pulls.
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
from pullbench.model.identity import wrong_image
from pullbench.model.platform import Platform
from pullbench.model.spec import EngineEntry
from pullbench.registry.answer import backoff_s
from pullbench.registry.keychain import Keychain


class CommandFailed(Exception):  # noqa: N818  (a result between the base and its engines, not an error of theirs)
    """A failed command of the client: an error code, and a line for display."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """The content of a store after a pull."""

    image_id: str
    """Digest of the image's config."""
    platform: Platform | None
    """What the config says; None if it names none."""
    layers: Mapping[str, int | None]
    """Digest → compressed size of every layer in the store; None if the client does not report it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandAttempt:
    """One attempt of a pull: success as the client reports it, or a code. `ended` is its end in monotonic seconds."""

    ended: float
    store: Path
    code: ErrorCode | None = None
    error: str | None = None
    extract_s: float | None = None


def verify(request: PullRequest, brought: Brought, program: str) -> None:
    """Compare the pulled image with the request; raises CommandFailed.

    Some clients accept a single image for any platform, so their exit status is not enough.
    """
    wrong = wrong_image(
        request.expected,
        Platform.parse(request.platform),
        image_id=brought.image_id,
        platform=brought.platform,
        program=program,
    )
    if wrong is not None:
        raise CommandFailed(*wrong)
    for layer in request.expected.manifest.layers:
        if layer.digest not in brought.layers:
            raise CommandFailed(
                ErrorCode.DIGEST_MISMATCH,
                f"{program} reported success, but its store lacks the layer {layer.digest}",
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
    """The outcome of an ended pull. `held` is the store's content before it; unknown values are None."""
    if brought is None:
        return PullOutcome(ok=False, error_code=last.code, error=last.error, attempts=attempts, duration_s=duration_s)
    manifest = request.expected.manifest
    came = {layer.digest: brought.layers[layer.digest] for layer in manifest.layers if layer.digest not in held}
    if reads_config_again or manifest.config.digest not in held:
        came[manifest.config.digest] = manifest.config.size_bytes
    sizes = [size for size in came.values() if size is not None]
    # Unknown: the bytes of failed attempts, and of layers whose size the client does not report.
    known = attempts == 1 and len(sizes) == len(came)
    return PullOutcome(
        ok=True,
        attempts=attempts,
        bytes=sum(sizes) if known else None,
        layers=len(manifest.layers),
        layers_cached=sum(layer.digest in held for layer in manifest.layers),
        layers_shared=0,  # every pull has its own store
        extract_s=last.extract_s,
        duration_s=duration_s,
    )


SETUP_S = 60.0
"""The time limit for commands around the pulls: creating a store, reading its content."""
_WHOLE_BYTES = 16 * 1024 * 1024  # more than any client prints of an image: 200,000 digests
_NAP_S = 0.1  # how often a back-off checks for cancellation


@dataclass(slots=True, kw_only=True)
class _CommandTrial:
    folder: CommandFolder
    setup: TrialSetup
    stores: dict[int, Path] = field(default_factory=dict)
    held: dict[int, frozenset[str]] = field(default_factory=dict)
    """Digests in each pull's store before the pull."""


class CommandEngine(ABC):
    """Pulls with a program. A subclass defines the program, its arguments, and how to read its storage."""

    kind: ClassVar[str]
    program: ClassVar[str]
    package: ClassVar[str]
    """The Debian package of the program."""
    reads_config_again: ClassVar[bool]
    """Whether it downloads the config of an image that it already has."""

    def __init__(self, entry: EngineEntry, *, keychain: Keychain, clock: Clock) -> None:
        self.name = entry.name
        self._keychain = keychain
        self._clock = clock
        self._stop = StopSignal()
        self._trial: _CommandTrial | None = None

    @abstractmethod
    def _version(self, folder: Path) -> str:
        """The client's version, after a test in `folder` that it works here; raises CommandFailed if it does not."""

    @abstractmethod
    def _open(self, folder: Path, setup: TrialSetup) -> None:
        """Write or start the shared parts of a trial; raises CommandFailed."""

    @abstractmethod
    def _make_store(self, store: Path) -> None:
        """Create an empty store; raises CommandFailed."""

    @abstractmethod
    def _command(self, request: PullRequest, store: Path, timeout_s: float) -> Command: ...

    @abstractmethod
    def _held(self, store: Path) -> frozenset[str]:
        """Digests of the blobs in a store, at least its layers; raises CommandFailed."""

    @abstractmethod
    def _brought(self, request: PullRequest, store: Path) -> Brought:
        """The content that a successful pull left in its store; raises CommandFailed."""

    def _refusal(self) -> str | None:
        """Why this client cannot do what an option asks for, and what to do; asked after `_version`. None if it can."""
        return None

    def _extract_s(self, stdout: str) -> float | None:  # noqa: ARG002  (most clients do not report it)
        """Seconds of unpacking, if the client prints them."""
        return None

    def _close(self) -> None:  # noqa: B027  (most engines have no process to end)
        """End the processes that `_open` started."""

    def facts(self) -> EngineFacts:
        """The version, or why the client cannot be used here and how to install it; raises nothing."""
        unavailable = self._missing()
        if unavailable is None:
            try:
                with CommandFolder.open() as folder:
                    version = self._version(folder.path)
                return EngineFacts(name=self.name, kind=self.kind, version=version, unavailable=self._refusal())
            except (CommandFailed, OSError) as error:
                unavailable = f"{self.program} does not work here: {error}"
        return EngineFacts(name=self.name, kind=self.kind, unavailable=unavailable)

    def _missing(self) -> str | None:
        if not hasattr(os, "pidfd_open"):
            return f"the engine needs Linux: it controls {self.program} through its pidfd"
        if find_program(self.program) is None:
            return (
                f"{self.program} is not installed: install {self.package} "
                f"(`apt-get install {self.package}`), or remove the engine from the spec"
            )
        return None

    def open_trial(self, setup: TrialSetup) -> None:
        """Create every pull's store, and fill it for a warm pull; not timed.

        Raises UsageError if credentials cannot be read, RegistryError if the client cannot create its stores.
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
        """Create a pull's store. If filling it fails, the measured pull fails or shows that it was cold."""
        store = trial.stores[request.pull] = self._new_store(trial, request, 1)
        if trial.setup.cache == "warm" and not self._stop.is_set:
            self._attempt(request, store, self._clock.monotonic() + request.timeout_s)
        trial.held[request.pull] = self._held(store)

    def _new_store(self, trial: _CommandTrial, request: PullRequest, attempt: int) -> Path:
        store = trial.folder.path / f"{request.pull}-{attempt}"
        self._make_store(store)
        return store

    def pull(self, request: PullRequest) -> PullOutcome:
        """Pull one image with all its attempts; the duration ends with the client. `verify` checks the result later."""
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
        """Verify the pulled image."""
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
        """The next attempt, after its back-off; meanwhile a fresh store is created for a cold pull."""
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
        """Wait; False if the run is stopped meanwhile."""
        while (left := instant - self._clock.monotonic()) > 0 and not self._stop.is_set:
            self._clock.sleep(min(left, _NAP_S))
        return not self._stop.is_set

    def _attempt(self, request: PullRequest, store: Path, deadline: float) -> CommandAttempt:
        started = self._clock.monotonic()
        command = self._command(request, store, deadline - started)
        try:
            ended = run(command, clock=self._clock, deadline=deadline, stop=self._stop)
        except OSError as error:
            text = f"cannot start {self.program}: {error.strerror}"
            return CommandAttempt(
                ended=self._clock.monotonic(), store=store, code=ErrorCode.ENGINE_UNAVAILABLE, error=text
            )
        code, text = self._failure(ended, request)
        if code is not None:
            return CommandAttempt(ended=ended.ended, store=store, code=code, error=text)
        return CommandAttempt(ended=ended.ended, store=store, extract_s=self._extract_s(ended.stdout))

    def _failure(self, ended: Ended, request: PullRequest) -> tuple[ErrorCode | None, str]:
        output = last_words(ended.stderr)
        if ended.stopped is not None:
            why = (
                "the run was stopped"
                if ended.stopped is ErrorCode.CANCELLED
                else f"not finished after {request.timeout_s:g} s"
            )
            doubt = "" if ended.returncode is not None else f"; {self.program} did not end even after SIGKILL"
            return (
                ended.stopped,
                f"{why}{doubt}; last output of {self.program}: {output}" if output else f"{why}{doubt}",
            )
        if ended.was_trying_again:
            return classify(output), output
        if ended.returncode is not None and ended.returncode < 0:
            return ErrorCode.ENGINE_UNAVAILABLE, f"{self.program} was killed by signal {-ended.returncode}"
        if ended.returncode != 0:
            return classify(output), output or f"{self.program} exited with {ended.returncode} and no output"
        return None, ""

    def close_trial(self) -> None:
        """End all processes of the trial, and remove its directory with every store."""
        trial, self._trial = self._trial, None
        if trial is not None:
            try:
                self._close()
            finally:
                trial.folder.close()

    def cancel(self) -> None:
        """End running pulls as `cancelled`, permanently. Safe in a signal handler."""
        self._stop.set()

    def close(self) -> None:
        self.close_trial()
        self._stop.close()

    def _output(self, command: Command) -> str:
        """The whole output of a command outside the pulls; raises CommandFailed with its message if it fails."""
        deadline = self._clock.monotonic() + SETUP_S
        ended = run(command, clock=self._clock, deadline=deadline, keep_bytes=_WHOLE_BYTES)
        if ended.returncode != 0 or ended.stopped is not None:
            output = last_words(ended.stderr) or f"`{' '.join(command.arguments[:2])}` failed without output"
            raise CommandFailed(classify(output), output)
        if ended.stdout_is_cut:
            shown = " ".join(command.arguments[:2])
            raise CommandFailed(ErrorCode.UNKNOWN, f"`{shown}` printed more than {_WHOLE_BYTES >> 20} MiB")
        return ended.stdout
