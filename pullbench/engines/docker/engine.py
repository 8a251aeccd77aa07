"""The engine of kind `docker`: a Docker daemon pulls images and unpacks them into its store.

It removes only images in the run's ledger: before a cold trial it removes images under test that a run pulled, by the names
that the run created. It never removes images that someone has since named or used. Times come from the daemon's events.
What depends on the daemon's image store is in `daemon/image_store.py`, and its events in `timeline.py`.
"""

import contextlib
import dataclasses
import platform
import threading
from types import TracebackType
from typing import Self

from pullbench.daemon.docker import DockerDaemon, one_line
from pullbench.daemon.image_store import ContainerdStore, DaemonStore, PullTarget, image_store, limits_downloads
from pullbench.daemon.local import layer_concurrency, read_settings
from pullbench.daemon.pull_stream import PullStream
from pullbench.engines.base import Clock, PullOutcome, PullRequest, TrialSetup
from pullbench.engines.docker.timeline import (
    CONTAINERD_EVENTS,
    GRAPH_DRIVER_EVENTS,
    Claims,
    DockerAttempt,
    EventSource,
    PullTimeline,
    chains,
    config_chain,
    image_chain,
    outcome,
)
from pullbench.errors import RETRYABLE, ErrorCode, RegistryError, classify
from pullbench.model.facts import EngineFacts
from pullbench.model.spec import EngineEntry
from pullbench.registry.answer import backoff_s
from pullbench.registry.keychain import Keychain


class Watch:
    """Stops a stream after `limit_s`, or on request; remembers the first reason and its time."""

    def __init__(self, stream: PullStream, clock: Clock, limit_s: float) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = threading.RLock()
        self._timer = threading.Timer(max(0.0, limit_s), self.stop, (ErrorCode.TIMEOUT,))
        self._timer.daemon = True
        self.stopped: tuple[ErrorCode, float] | None = None
        """The code, and its time in monotonic seconds."""

    def stop(self, code: ErrorCode) -> None:
        with self._lock:
            if self.stopped is None:
                self.stopped = (code, self._clock.monotonic())
                self._stream.stop()

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()


class Watches:
    """All running pulls, to stop them together. Thread-safe, also in a signal handler."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._open: set[Watch] = set()
        self.cancelled = False

    def reset(self) -> None:
        """Start a new trial."""
        self.cancelled = False

    def add(self, watch: Watch) -> None:
        """Add a pull; stop it immediately if all were stopped."""
        with self._lock:
            self._open.add(watch)
            if self.cancelled:
                watch.stop(ErrorCode.CANCELLED)

    def discard(self, watch: Watch) -> None:
        with self._lock:
            self._open.discard(watch)

    def cancel(self) -> None:
        with self._lock:
            self.cancelled = True
            for watch in tuple(self._open):
                watch.stop(ErrorCode.CANCELLED)


_NAP_S = 0.1  # how often a back-off checks for cancellation
_NO_PULL = -1
"""Owns what was in the store before the trial."""


class DockerEngine:
    """Pulls with one Docker daemon, by digest. One object serves a run."""

    kind = "docker"

    def __init__(
        self, entry: EngineEntry, *, keychain: Keychain, clock: Clock, daemon: DockerDaemon | None = None
    ) -> None:
        self.name = entry.name
        self._keychain = keychain
        self._clock = clock
        self._daemon = daemon or DockerDaemon(entry.host)
        self._opened_store: DaemonStore | None = None
        self._brought: frozenset[str] = frozenset()
        self._targets: dict[int, PullTarget] = {}
        self._auth: dict[int, dict[str, str]] = {}
        self._claims = Claims()
        self._watches = Watches()
        self._left_over = False
        self._resumable: set[str] = set()

    @property
    def _store(self) -> DaemonStore:
        """The daemon's image store: a daemon that restarts with another one is another daemon to a run."""
        if self._opened_store is None:
            self._opened_store = image_store(self._daemon)
        return self._opened_store

    @property
    def _events(self) -> EventSource:
        return CONTAINERD_EVENTS if isinstance(self._store, ContainerdStore) else GRAPH_DRIVER_EVENTS

    def facts(self) -> EngineFacts:
        """The daemon's version and its store's content, or why it cannot be used; raises nothing."""
        try:
            unavailable = self._unfit()
            if unavailable is not None:
                return EngineFacts(name=self.name, kind=self.kind, unavailable=unavailable)
            found = EngineFacts(
                name=self.name,
                kind=self.kind,
                version=self._daemon.version(),
                store_id=self._store.identity,
                present=self._store.image_ids(),
                is_local=self._is_local(),
                image_store=self._store.label,
                max_concurrent_downloads=self._max_concurrent_downloads(),
            )
        except RegistryError as error:
            return EngineFacts(name=self.name, kind=self.kind, unavailable=f"{self._daemon.host}: {error.detail}")
        return found

    def _max_concurrent_downloads(self) -> int | None:
        return layer_concurrency(read_settings(self._daemon.host)) if limits_downloads(self._daemon.info()) else None

    def _is_local(self) -> bool:
        """Whether the daemon is known to run on this machine: a socket may be forwarded, and a port may be anywhere."""
        about = self._daemon.info()
        return (about.get("Name"), about.get("KernelVersion")) == (platform.node(), platform.release())

    def _unfit(self) -> str | None:
        if not self._daemon.host.startswith(("unix://", "tcp://")):
            return (
                f"pullbench cannot stop pulls over {self._daemon.host.partition(':')[0]}://: forward the daemon's socket "
                "(`ssh -NL /tmp/docker.sock:/var/run/docker.sock HOST`) and set `host: unix:///tmp/docker.sock`"
            )
        return None

    def open_trial(self, setup: TrialSetup) -> None:
        """Prepare the cache state, after recording the expected images; raises RegistryError if the daemon fails."""
        self._watches.reset()
        self._claims = Claims()
        self._brought |= setup.brought
        self._auth = {request.pull: self._auth_config(request) for request in setup.requests}
        self._targets = {request.pull: self._target(request) for request in setup.requests}
        targets = self._targets.values()
        if setup.cache == "cold":
            self._store.make_cold(targets, self._brought, any_image=setup.cache_reset == "remove")
        bring = self._store.would_bring(targets)
        setup.before_pulls(bring)
        self._brought |= frozenset(bring)
        if setup.cache == "warm":
            self._warm(setup.requests)
        self._claims = self._claims_of_store(setup.requests)

    def _auth_config(self, request: PullRequest) -> dict[str, str]:
        found = self._keychain.login(request.route)
        if found is None:
            return {}
        config = {"username": found.username, "password": found.password, "serveraddress": request.route.host}
        tokens = {"identitytoken": found.identity_token, "registrytoken": found.registry_token}
        return config | {name: token for name, token in tokens.items() if token}

    def _target(self, request: PullRequest) -> PullTarget:
        repository = f"{request.route.host}/{request.route.repository(request.reference)}"
        digest = request.reference.digest or request.expected.digest
        return PullTarget(
            name=self._store.name_for(repository, digest, request.expected, self._brought),
            digest=digest,
            platform=request.platform,
            expected=request.expected,
        )

    def _claims_of_store(self, requests: tuple[PullRequest, ...]) -> Claims:
        """Claims of a trial that begins: the configs of images in the store are not downloaded again."""
        claims, present = Claims(), self._store.image_ids()
        for request in requests:
            if self._store.id_of(self._targets[request.pull]) in present:
                claims.claim(config_chain(request.expected.manifest), _NO_PULL)
        return claims

    def _warm(self, requests: tuple[PullRequest, ...]) -> None:
        """Pull missing images. If that fails, the measured pull fails or shows that it was cold."""
        for request in requests:
            if not self._watches.cancelled:
                self.pull(request)

    def pull(self, request: PullRequest) -> PullOutcome:
        """Pull one image with all its attempts; the duration ends with dockerd's last event, before the checks."""
        deadline = self._clock.monotonic() + request.timeout_s
        attempts = [self._attempt(request, 1, deadline)]
        while (
            attempts[-1].code in RETRYABLE
            and len(attempts) <= request.retries
            and self._rest(backoff_s(len(attempts)), deadline)
        ):
            attempts.append(self._attempt(request, len(attempts) + 1, deadline))
        made = outcome(request, attempts, self._claims)
        if not made.ok:
            self._claims.release(request.pull)
            self._left_over = True
            if not self._store.frees_stopped_pulls:
                self._resumable.add(request.expected.digest)
        elif request.expected.digest in self._resumable:
            return dataclasses.replace(made, bytes=None)  # it may have continued what that pull left
        return made

    def _rest(self, seconds: float, deadline: float) -> bool:
        """Wait before the next attempt; False if there is no time left, or the run is stopped."""
        until = self._clock.monotonic() + seconds
        if until >= deadline:
            return False
        while (left := until - self._clock.monotonic()) > 0 and not self._watches.cancelled:
            self._clock.sleep(min(left, _NAP_S))
        return not self._watches.cancelled

    def _attempt(self, request: PullRequest, number: int, deadline: float) -> DockerAttempt:
        timeline = PullTimeline(layer_ids=frozenset(chains(request.expected.manifest)), source=self._events)
        attempt = DockerAttempt(
            number=number, started=self._clock.monotonic(), started_at=self._clock.now(), timeline=timeline
        )
        try:
            stream = self._daemon.pull(
                self._targets[request.pull].name, platform=request.platform, auth_config=self._auth[request.pull]
            )
        except RegistryError as error:
            attempt.end(self._clock.monotonic(), error.code, error.detail)
            return attempt
        with stream, Watch(stream, self._clock, deadline - attempt.started) as watch:
            self._watches.add(watch)
            try:
                self._consume(request, stream, attempt)
            finally:
                self._watches.discard(watch)
        if timeline.complete:
            self._verify(request, attempt)
        elif watch.stopped is not None:
            code, at = watch.stopped
            attempt.end(at, code, _why_stopped(request, code, timeline, stream))
        return attempt

    def _consume(self, request: PullRequest, stream: PullStream, attempt: DockerAttempt) -> None:
        """Read all events, and claim each layer for this pull when it starts."""
        timeline = attempt.timeline
        chain_of = chains(request.expected.manifest, timeline.source)
        try:
            for event in stream:
                timeline.observe(event, self._clock.monotonic())
                chain = chain_of.get(str(event.get("id")))
                if chain is not None and event.get("status") == "Pulling fs layer":
                    self._claims.claim(chain, request.pull)
                    self._claims.claim(image_chain(request.expected.manifest), request.pull)
                elif chain is not None and event.get("status") == "Already exists":
                    self._claims.waive(chain, request.pull)
        except RegistryError as error:
            attempt.end(self._clock.monotonic(), error.code, error.detail)
            return
        attempt.end(self._clock.monotonic())
        if timeline.error is not None:
            text = one_line(timeline.error)
            attempt.end(attempt.ended, classify(text), text)
        elif not timeline.complete:
            text = f"the daemon closed the stream before the pull was complete: {timeline.progress()}"
            attempt.end(attempt.ended, ErrorCode.ENGINE_UNAVAILABLE, text)

    def _verify(self, request: PullRequest, attempt: DockerAttempt) -> None:
        """Check platform and content of the pulled image."""
        target = self._targets[request.pull]
        try:
            wrong = self._store.mismatch(target)
            if attempt.timeline.others:
                attempt.other_bytes = self._store.attestation_bytes(target)
        except RegistryError as error:
            attempt.end(attempt.ended, error.code, f"cannot inspect the pulled image: {error.detail}")
            return
        if wrong is not None:
            attempt.end(attempt.ended, *wrong)

    def close_trial(self) -> None:
        """Free what failed pulls left; a pull returns when dockerd has stopped it, or reports that it has not."""
        if self._left_over:
            self._left_over = False
            with contextlib.suppress(RegistryError):  # the next cold trial does it again
                self._store.drop_leftovers()

    def cancel(self) -> None:
        self._watches.cancel()

    def close(self) -> None:
        """Disconnect from the daemon; pulled images stay, for `pullbench clean` or the next run."""
        self._daemon.close()


def _why_stopped(request: PullRequest, code: ErrorCode, timeline: PullTimeline, stream: PullStream) -> str:
    why = f"not finished after {request.timeout_s:g} s" if code is ErrorCode.TIMEOUT else "the run was stopped"
    doubt = "; dockerd did not confirm the stop, and may still be pulling" if stream.abandoned else ""
    return f"{why}: {timeline.progress()}{doubt}"
