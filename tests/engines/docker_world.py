"""A Docker daemon of the tests' own making: a store of images, and pulls that say what their script has."""

import threading
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self, cast

from pullbench.daemon.docker import DockerDaemon
from pullbench.engines.base import PullOutcome, PullRequest, TrialSetup
from pullbench.engines.docker.engine import DockerEngine
from pullbench.engines.docker.timeline import short_id
from pullbench.engines.fake import ScriptedClock
from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.facts import PlatformImage
from pullbench.model.manifest import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor, Manifest
from pullbench.model.reference import Reference
from pullbench.model.route import Route
from pullbench.model.spec import EngineEntry
from pullbench.registry.keychain import Keychain

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")
CONFIG, INDEX, IMAGE = (f"sha256:{digit * 64}" for digit in "123")
CONFIG_BYTES = 7
NAME = f"127.0.0.1:5000/app@{INDEX}"
REFUSED = RegistryError(ErrorCode.CONNECT_REFUSED, "docker", "dial tcp: connection refused")
DONE = {"status": "Status: Downloaded newer image for app"}


def manifest(*layers: tuple[str, int], config: str = CONFIG) -> Manifest:
    return Manifest(
        media_type=OCI_MANIFEST,
        config=Descriptor(media_type=OCI_CONFIG, digest=config, size_bytes=CONFIG_BYTES),
        layers=tuple(Descriptor(media_type=OCI_LAYER_GZIP, digest=digest, size_bytes=size) for digest, size in layers),
    )


def pull_request(
    pull: int = 0,
    *,
    layers: tuple[tuple[str, int], ...] = ((A, 100), (B, 10)),
    platform: str = "linux/amd64",
    credentials: str = "anonymous",
    timeout_s: float = 30.0,
    retries: int = 0,
) -> PullRequest:
    return PullRequest(
        pull=pull,
        image="app:1.0",
        reference=Reference(repository="app", tag="1.0", digest=INDEX),
        is_index=True,
        expected=PlatformImage(digest=IMAGE, manifest=manifest(*layers)),
        platform=platform,
        route=Route(registry="r", url="http://127.0.0.1:5000", credentials=credentials),
        auth="persisted",
        timeout_s=timeout_s,
        retries=retries,
    )


def layer_events(digest: str, begun: float) -> list[tuple[float, dict[str, Any]]]:
    """A whole layer in half a second."""
    statuses = ("Pulling fs layer", "Downloading", "Download complete", "Extracting", "Pull complete")
    return [(begun + i / 10, {"status": status, "id": short_id(digest)}) for i, status in enumerate(statuses)]


class FakeStream:
    """Events in order; a step that is an exception is raised, one that is callable is run, `wait` waits to be stopped."""

    def __init__(self, steps: list[Any], *, obeys: bool = True) -> None:
        self._steps = steps
        self._stopped = threading.Event()
        self.abandoned = not obeys

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for step in self._steps:
            if self._stopped.is_set():
                return
            if step == "wait":
                assert self._stopped.wait(20), "nobody stopped the stream"
                return
            if isinstance(step, Exception):
                raise step
            if callable(step):
                step()
            else:
                yield step

    def stop(self) -> None:
        self._stopped.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class FakeDaemon:
    """A store (image ID → names) that does what it is told, and notes it."""

    host = "unix:///fake.sock"
    identity = "FAKE:ID"

    def __init__(self, *pulls: list[Any]) -> None:
        self.store: dict[str, set[str]] = {}
        self.platform: dict[str, Any] = {"Os": "linux", "Architecture": "amd64"}
        self.system: dict[str, Any] = {}
        self.brings: str = CONFIG
        self.in_use: set[str] = set()
        self.removed: list[tuple[str, bool]] = []
        self.auth: list[dict[str, str]] = []
        self.pulled: list[str] = []
        self.obeys = True
        self.broken: RegistryError | None = None
        self.closed = False
        self._pulls = list(pulls)

    def info(self) -> Mapping[str, Any]:
        if self.broken is not None:
            raise self.broken
        return self.system

    def version(self) -> str:
        return "20.10.24"

    def image_ids(self) -> frozenset[str]:
        return frozenset(self.store)

    def find(self, name: str) -> Mapping[str, Any] | None:
        for image_id, names in self.store.items():
            if name == image_id or name in names:
                digests = [one for one in names if "@" in one]
                tags = [one for one in names if "@" not in one]
                return {"Id": image_id, "RepoTags": tags, "RepoDigests": digests, "Size": 1000, **self.platform}
        return None

    def inspect(self, name: str) -> Mapping[str, Any]:
        found = self.find(name)
        if found is None:
            raise RegistryError(ErrorCode.NOT_FOUND, "fake", f"No such image: {name}")
        return found

    def remove(self, name: str, *, force: bool = False) -> None:
        image_id = str(self.inspect(name)["Id"])
        if image_id in self.in_use and not force and (name == image_id or len(self.store[image_id]) == 1):
            raise RegistryError(ErrorCode.UNKNOWN, "fake", "conflict: a container is using its referenced image")
        self.removed.append((name, force))
        if name == image_id or len(self.store[image_id]) == 1:
            del self.store[image_id]
        else:
            self.store[image_id].discard(name)

    def pull(self, reference: str, *, platform: str, auth_config: Mapping[str, str]) -> FakeStream:
        self.pulled.append(reference)
        self.auth.append(dict(auth_config))
        steps = self._pulls.pop(0) if len(self._pulls) > 1 else self._pulls[0]
        return FakeStream([self._bring(reference) if step == DONE else step for step in steps], obeys=self.obeys)

    def _bring(self, reference: str) -> dict[str, str]:
        for names in self.store.values():
            names.discard(reference)
        self.store.setdefault(self.brings, set()).add(reference)
        return dict(DONE)

    def close(self) -> None:
        self.closed = True


COLD: list[Any] = [event for digest in (A, B) for _, event in layer_events(digest, 0.0)] + [DONE]
OTHER = f"sha256:{'9' * 64}"
ENVIRON = {"ME_USERNAME": "me", "ME_PASSWORD": "secret", "BOT_TOKEN": "identity"}


def engine_on(daemon: FakeDaemon, clock: ScriptedClock | None = None) -> DockerEngine:
    return DockerEngine(
        EngineEntry(name="docker-2", kind="docker"),
        keychain=Keychain(environ=ENVIRON),
        clock=clock or ScriptedClock(),
        daemon=cast(DockerDaemon, daemon),
    )


def trial(
    engine: DockerEngine,
    *requests: PullRequest,
    cache: str = "cold",
    reset: str = "own",
    brought: frozenset[str] = frozenset(),
) -> tuple[list[PullOutcome], list[str]]:
    """The pulls one after the other, and the names that `before_pulls` was told."""
    told: list[str] = []
    asked = requests or (pull_request(),)
    engine.open_trial(
        TrialSetup(
            trial=0,
            concurrency=1,
            cache=cast(Any, cache),
            cache_reset=reset,
            requests=asked,
            before_pulls=told.extend,
            brought=brought,
        )
    )
    outcomes = [engine.pull(request) for request in asked]
    engine.close_trial()
    return outcomes, told
