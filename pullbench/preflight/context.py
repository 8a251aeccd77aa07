"""What checks look at: the spec, the facts, and one client a route, opened when first asked for."""

import threading
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import ExitStack
from datetime import UTC, datetime
from types import TracebackType
from typing import Generic, Self, TypeVar

from pullbench.daemon.docker import DockerDaemon
from pullbench.errors import NO_WAY_THERE, SILENT, ErrorCode, PullbenchError, RegistryError
from pullbench.model.facts import Facts, PlatformImage
from pullbench.model.image_config import ImageConfig, parse_image_config
from pullbench.model.manifest import Descriptor, Index
from pullbench.model.plan import Plan, routes
from pullbench.model.platform import Platform
from pullbench.model.reference import Reference
from pullbench.model.route import DIRECT, Route
from pullbench.model.spec import Spec
from pullbench.registry.client import FetchedManifest, ManifestHead, RegistryClient, image_of, quick_client
from pullbench.registry.keychain import Keychain

_HEAD_REFUSED = (400, 405, 501)
_SILENCES = 2
"""One may be an image's own, such as a blob in a storage that is slow; each is waited for."""

Answered = TypeVar("Answered")
Key = TypeVar("Key")
Value = TypeVar("Value")


def system_now() -> datetime:
    return datetime.now(UTC)


class CheckContext:
    """The argument of every probe; safe for threads. Close it after the last check."""

    def __init__(
        self,
        spec: Spec,
        facts: Facts,
        keychain: Keychain,
        *,
        ways: Collection[tuple[str, str]] | None = None,
        plan: Plan | None = None,
        engines: Collection[str] | None = None,
        client: Callable[[Route, Keychain], RegistryClient] = quick_client,
        daemon: Callable[[str | None], DockerDaemon] = DockerDaemon,
        now: Callable[[], datetime] = system_now,
    ) -> None:
        self.spec = spec
        self.facts = facts
        self.keychain = keychain
        self.plan = plan
        """What the run would do; None where a preflight stands alone, without facts."""
        self.engines = tuple(spec.engine(name) for name in spec.matrix.engines if engines is None or name in engines)
        self.now = now
        self.routes = tuple(route for way, route in routes(spec).items() if ways is None or way in ways)
        self.platforms = tuple(spec.matrix.platforms or [facts.host_platform])
        self._open = client
        self._open_daemon = daemon
        self._daemons: dict[str | None, DockerDaemon] = {}
        self._clients: dict[str, RegistryClient] = {}
        self._no_way: dict[str, RegistryError] = {}
        self._silences = Counter(
            {route.name: 1 for route in self.routes if _was_silent(facts, route.registry) and route.proxy == DIRECT}
        )
        self._heads = Memo[tuple[str, str], ManifestHead]()
        self._manifests = Memo[tuple[str, str], FetchedManifest]()
        self._platform_images = Memo[tuple[str, str, str], PlatformImage | None]()
        self._lost_blobs = Memo[tuple[str, str, str], bool]()
        self._fetched_configs = Memo[tuple[str, str, str], ImageConfig]()
        self._configs: dict[str, ImageConfig] = {}
        self._lock = threading.Lock()
        self._closing = ExitStack()

    def client(self, route: Route) -> RegistryClient:
        """The route's client, the same for every check. Raises UsageError where its `ca_file` cannot be used."""
        with self._lock:
            if route.name not in self._clients:
                self._clients[route.name] = self._closing.enter_context(self._open(route, self.keychain))
            return self._clients[route.name]

    def daemon(self, host: str | None) -> DockerDaemon:
        """The Docker daemon at an engine's `host`, the same for every check; None means the environment's."""
        with self._lock:
            if host not in self._daemons:
                self._daemons[host] = self._open_daemon(host)
                self._closing.callback(self._daemons[host].close)
            return self._daemons[host]

    def head(self, route: Route, image: str) -> ManifestHead:
        """What HEAD says of an image, asked once a route; by `manifest` where the registry refuses HEAD."""

        def ask() -> ManifestHead:
            try:
                return self._asked(route, lambda: self.client(route).head_manifest(Reference.parse(image)))
            except RegistryError as error:
                if error.status not in _HEAD_REFUSED:
                    raise
            found = self.manifest(route, image)
            return ManifestHead(
                digest=found.digest, media_type=found.document.media_type, size_bytes=len(found.content), by_get=True
            )

        return self._heads.get((route.name, image), ask)

    def digest(self, route: Route, image: str) -> str:
        """What an image's tag holds: stated with HEAD, else made of the manifest's bytes."""
        return self.head(route, image).digest or self.manifest(route, image).digest

    def manifest(self, route: Route, image: str) -> FetchedManifest:
        """An image's manifest or index, fetched once a route: manifest requests count against rate limits."""

        def ask() -> FetchedManifest:
            return self._asked(route, lambda: self.client(route).manifest(Reference.parse(image)))

        return self._manifests.get((route.name, image), ask)

    def platform_image(self, route: Route, image: str, platform: str) -> PlatformImage | None:
        """One platform's manifest of an image; None where the image lacks it. From the facts where they have it."""
        if route.proxy == DIRECT:
            known = self.facts.platform_image(route.registry, image, platform)
            if known is not None:
                return known

        def ask() -> PlatformImage | None:
            top, wanted = self.manifest(route, image), Platform.parse(platform)
            if isinstance(top.document, Index):
                entry = top.document.select(wanted)
                if entry is None:
                    return None
                return self._asked(route, lambda: image_of(self.client(route), Reference.parse(image), entry))
            stated = self.config(route, image, top.document.config).platform
            fits = stated is not None and wanted.accepts(stated)
            return PlatformImage(digest=top.digest, manifest=top.document) if fits else None

        return self._platform_images.get((route.name, image, platform), ask)

    def has_lost(self, route: Route, repository: str, digest: str) -> bool:
        """Whether the endpoint says of a blob that it is not there; asked once. An answer that says neither is no loss."""

        def ask() -> bool:
            try:
                self._asked(route, lambda: self.client(route).head_blob(repository, digest))
            except RegistryError as error:
                return error.code is ErrorCode.NOT_FOUND
            return False

        return self._lost_blobs.get((route.name, repository, digest), ask)

    def config(self, route: Route, image: str, descriptor: Descriptor) -> ImageConfig:
        """An image's config. Its digest was verified, so that of another route, which has the same, serves as well."""
        known = self._configs.get(descriptor.digest)
        if known is not None:
            return known
        repository = route.repository(Reference.parse(image))

        def ask() -> ImageConfig:
            found = parse_image_config(self._asked(route, lambda: self.client(route).config(repository, descriptor)))
            self._configs[descriptor.digest] = found
            return found

        return self._fetched_configs.get((route.name, repository, descriptor.digest), ask)

    def newest_creation(self, route: Route, image: str) -> datetime | None:
        """When the youngest of an image's platforms was made, as their configs state it; None where none does."""
        dates = list[datetime]()
        for platform in self.platforms:
            try:
                found = self.platform_image(route, image, platform)
                stated = None if found is None else self.config(route, image, found.manifest.config).created
            except PullbenchError:
                continue
            if stated is not None:
                dates.append(stated)
        return max(dates, default=None)

    def _asked(self, route: Route, ask: Callable[[], Answered]) -> Answered:
        """Where no way leads to the registry, or it fell silent twice, what showed it speaks for all that is not yet asked."""
        if route.name in self._no_way:
            raise self._no_way[route.name]
        try:
            return ask()
        except RegistryError as error:
            if error.code in SILENT:
                self._silences[route.name] += 1
            if error.code in NO_WAY_THERE or (error.code in SILENT and self._silences[route.name] >= _SILENCES):
                self._no_way[route.name] = error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()


def _was_silent(facts: Facts, registry: str) -> bool:
    """Whether the registry was waited for in vain when the facts were gathered."""
    return any(image.registry == registry and image.error_code in SILENT for image in facts.images.values())


class Memo(Generic[Key, Value]):
    """One call a key, whoever asks first; those who ask meanwhile wait for it.

    A failure (PullbenchError) is remembered, and raised again for whoever asks after it: a registry that does not
    answer is waited for once.
    """

    def __init__(self) -> None:
        self._found: dict[Key, Value | PullbenchError] = {}
        self._locks: dict[Key, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Key, ask: Callable[[], Value]) -> Value:
        """What `ask` gave for the key, now or before."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._found:
                try:
                    self._found[key] = ask()
                except PullbenchError as error:
                    self._found[key] = error
            found = self._found[key]
        if isinstance(found, PullbenchError):
            raise found
        return found
