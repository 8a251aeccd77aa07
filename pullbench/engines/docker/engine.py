"""The engine of kind `docker`: a Docker daemon pulls images and unpacks them into its store.

It removes only images in the run's ledger: before a cold trial it removes images under test that a run pulled, by the names
that the run created. It never removes images that someone has since named or used. Times come from the daemon's events.
"""

import platform
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from pullbench.daemon.docker import DockerDaemon, names_of, one_line, remove_brought, try_removal
from pullbench.daemon.pull_stream import PullStream
from pullbench.engines.base import Clock, PullOutcome, PullRequest, TrialSetup
from pullbench.engines.docker.timeline import Claims, DockerAttempt, PullTimeline, chains, image_chain, outcome
from pullbench.errors import RETRYABLE, ErrorCode, RegistryError, classify
from pullbench.model.facts import EngineFacts
from pullbench.model.identity import wrong_image
from pullbench.model.image_config import platform_of
from pullbench.model.platform import Platform
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
        self._brought: frozenset[str] = frozenset()
        self._names: dict[int, str] = {}
        self._auth: dict[int, dict[str, str]] = {}
        self._claims = Claims()
        self._watches = Watches()

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
                store_id=self._daemon.identity,
                present=self._daemon.image_ids(),
                is_local=self._is_local(),
            )
        except RegistryError as error:
            return EngineFacts(name=self.name, kind=self.kind, unavailable=f"{self._daemon.host}: {error.detail}")
        return found

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
        driver = dict(entry for entry in self._daemon.info().get("DriverStatus") or [] if len(entry) == 2)
        if driver.get("driver-type") == "io.containerd.snapshotter.v1":
            return (
                "the daemon uses containerd's image store, whose image IDs are not config digests, so pullbench cannot "
                'verify that pulls are cold: set {"features": {"containerd-snapshotter": false}} in daemon.json, '
                "or use the `host` of a daemon without it"
            )
        return None

    def open_trial(self, setup: TrialSetup) -> None:
        """Prepare the cache state, after recording the expected images; raises RegistryError if the daemon fails."""
        self._watches.reset()
        self._claims = Claims()
        self._brought |= setup.brought
        self._auth = {request.pull: self._auth_config(request) for request in setup.requests}
        self._names = {request.pull: self._name(request) for request in setup.requests}
        if setup.cache == "cold":
            self._reset(setup)
        bring = self._may_bring(setup.requests)
        setup.before_pulls(bring)
        self._brought |= frozenset(bring)
        if setup.cache == "warm":
            self._warm(setup.requests)

    def _auth_config(self, request: PullRequest) -> dict[str, str]:
        found = self._keychain.login(request.route)
        if found is None:
            return {}
        config = {"username": found.username, "password": found.password, "serveraddress": request.route.host}
        return config | ({"identitytoken": found.identity_token} if found.identity_token else {})

    def _name(self, request: PullRequest) -> str:
        """The name to pull: the pinned digest, unless it already names another platform's image in the store.

        dockerd would move that name to our image; the platform's own digest is safe.
        """
        repository = f"{request.route.host}/{request.route.repository(request.reference)}"
        name = f"{repository}@{request.reference.digest}"
        found = self._daemon.find(name)
        if found is None or name in self._brought or found["Id"] == _image_id(request):
            return name
        return f"{repository}@{request.expected.digest}"

    def _reset(self, setup: TrialSetup) -> None:
        """Remove images that prevent a cold pull, as far as allowed; the rest shows as cached layers."""
        under_test = {_image_id(request) for request in setup.requests}
        if setup.cache_reset == "remove":
            for image_id in under_test:
                try_removal(self._daemon, image_id, force=True)
        ours = under_test & self._brought
        names = {*self._names.values(), *self._names_in_store(ours)}
        remove_brought(self._daemon, ours, names & self._brought)

    def _names_in_store(self, image_ids: Iterable[str]) -> frozenset[str]:
        found = [image for image_id in image_ids if (image := self._daemon.find(image_id)) is not None]
        return frozenset[str]().union(*(names_of(image) for image in found))

    def _may_bring(self, requests: tuple[PullRequest, ...]) -> list[str]:
        """Names and IDs that the store lacks now, so that only this trial can add them."""
        present = self._daemon.image_ids()
        names: list[str] = []
        for request in requests:
            image_id, name = _image_id(request), self._names[request.pull]
            if image_id not in present:
                names += [name, image_id]
            elif name not in self._names_in_store([image_id]):
                names.append(name)
        return list(dict.fromkeys(names))

    def _warm(self, requests: tuple[PullRequest, ...]) -> None:
        """Pull missing images. If that fails, the measured pull fails or shows that it was cold."""
        for request in requests:
            if not self._watches.cancelled:
                self.pull(request)
        self._claims = Claims()

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
        timeline = PullTimeline(layer_ids=frozenset(chains(request.expected.manifest)))
        attempt = DockerAttempt(
            number=number, started=self._clock.monotonic(), started_at=self._clock.now(), timeline=timeline
        )
        try:
            stream = self._daemon.pull(
                self._names[request.pull], platform=request.platform, auth_config=self._auth[request.pull]
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
        chain_of, timeline = chains(request.expected.manifest), attempt.timeline
        try:
            for event in stream:
                timeline.observe(event, self._clock.monotonic())
                chain = chain_of.get(str(event.get("id")))
                if chain is not None and event.get("status") == "Pulling fs layer":
                    self._claims.claim(chain, request.pull)
                    self._claims.claim(image_chain(request.expected.manifest), request.pull)
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
        """Check platform and content of the pulled image: dockerd accepts a single image for any platform."""
        try:
            image = self._daemon.inspect(self._names[request.pull])
        except RegistryError as error:
            attempt.end(attempt.ended, error.code, f"cannot inspect the pulled image: {error.detail}")
            return
        found = platform_of({name.lower(): value for name, value in image.items()})
        wanted = Platform.parse(request.platform)
        wrong = wrong_image(request.expected, wanted, image_id=image["Id"], platform=found, program="dockerd")
        if wrong is not None:
            attempt.end(attempt.ended, *wrong)

    def close_trial(self) -> None:
        """Nothing to do: a pull returns when dockerd has stopped it, or reports that it has not."""

    def cancel(self) -> None:
        self._watches.cancel()

    def close(self) -> None:
        """Disconnect from the daemon; pulled images stay, for `pullbench clean` or the next run."""
        self._daemon.close()


def _image_id(request: PullRequest) -> str:
    """In Docker's own store, an image's ID is the digest of its config."""
    return request.expected.manifest.config.digest


def _why_stopped(request: PullRequest, code: ErrorCode, timeline: PullTimeline, stream: PullStream) -> str:
    why = f"not finished after {request.timeout_s:g} s" if code is ErrorCode.TIMEOUT else "the run was stopped"
    doubt = "; dockerd did not confirm the stop, and may still be pulling" if stream.abandoned else ""
    return f"{why}: {timeline.progress()}{doubt}"
