"""The input of the checks: the spec, the facts, and one registry client per route, opened on first use."""

import threading
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Generic, Self, TypeVar

from pullbench.daemon.docker import DockerDaemon
from pullbench.errors import ROUTE_FAILURES, SILENT, ErrorCode, PullbenchError, RegistryError
from pullbench.model.addresses import login_host
from pullbench.model.facts import Facts, PlatformImage
from pullbench.model.image_config import ImageConfig, parse_image_config
from pullbench.model.manifest import Descriptor
from pullbench.model.plan import Plan, route_of, routes
from pullbench.model.platform import Platform
from pullbench.model.reference import Reference
from pullbench.model.route import DIRECT, Route
from pullbench.model.spec import Spec
from pullbench.registry.client import (
    FetchedManifest,
    ManifestHead,
    RegistryClient,
    find_platform,
    is_refused_head,
    may_differ,
    quick_client,
)
from pullbench.registry.keychain import Keychain

_SILENCES = 2
"""A single timeout may belong to one image, such as a blob on slow storage; the second counts for the route."""

Answer = TypeVar("Answer")
Key = TypeVar("Key")
Value = TypeVar("Value")


def system_now() -> datetime:
    return datetime.now(UTC)


class CheckContext:
    """The argument of every probe; thread-safe. Close it after the last check."""

    def __init__(
        self,
        spec: Spec,
        facts: Facts,
        keychain: Keychain,
        *,
        pairs: Collection[tuple[str, str]] | None = None,
        plan: Plan | None = None,
        engines: Collection[str] | None = None,
        client: Callable[[Route, Keychain, str], RegistryClient] = quick_client,
        daemon: Callable[[str | None], DockerDaemon] = DockerDaemon,
        now: Callable[[], datetime] = system_now,
    ) -> None:
        self.spec = spec
        self.facts = facts
        self.keychain = keychain
        self.plan = plan
        """The run's plan; None for a preflight without facts."""
        self.engines = tuple(spec.engine(name) for name in spec.matrix.engines if engines is None or name in engines)
        self.now = now
        self.routes = tuple(route for pair, route in routes(spec).items() if pairs is None or pair in pairs)
        self.platforms = tuple(spec.matrix.platforms or [facts.host_platform])
        self._open = client
        self._open_daemon = daemon
        self._daemons: dict[str | None, DockerDaemon] = {}
        self._clients: dict[tuple[str, str, str, str], RegistryClient] = {}
        self._route_failures: dict[str, RegistryError] = {}
        self._silences = Counter(
            {route.name: 1 for route in self.routes if _was_silent(facts, route.registry) and route.proxy == DIRECT}
        )
        self._heads = Memo[tuple[str, str], ManifestHead]()
        self._manifests = Memo[tuple[str, str], FetchedManifest]()
        self._platform_images = Memo[tuple[str, str, str], PlatformImage | None]()
        self._blobs = Memo[tuple[str, str, str], None]()
        self._fetched_configs = Memo[tuple[str, str, str], ImageConfig]()
        self._configs: dict[str, ImageConfig] = {}
        self._lock = threading.Lock()
        self._closing = ExitStack()

    def client(self, route: Route, actions: str = "pull") -> RegistryClient:
        """The route's client, shared by all checks. Raises UsageError if its `ca_file` cannot be used."""
        key = (route.name, route.namespace, route.credentials, actions)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._closing.enter_context(self._open(route, self.keychain, actions))
            return self._clients[key]

    def daemon(self, host: str | None) -> DockerDaemon:
        """The Docker daemon at an engine's `host`, shared by all checks; None means the environment's daemon."""
        with self._lock:
            if host not in self._daemons:
                self._daemons[host] = self._open_daemon(host)
                self._closing.callback(self._daemons[host].close)
            return self._daemons[host]

    def head(self, route: Route, image: str) -> ManifestHead:
        """The answer to HEAD of an image's manifest, once per route. If HEAD is refused, GET decides, and its error is raised."""

        def ask() -> ManifestHead:
            return self._request(route, lambda: self.client(route).head_manifest(Reference.parse(image)))

        def request() -> ManifestHead:
            try:
                return ask()
            except RegistryError as error:
                if not is_refused_head(error):
                    raise
                status = error.status
            found = self.manifest(route, image)
            head = ManifestHead(digest=found.digest, media_type=found.content_type, by_get=True, refused=status)
            return replace(head, differs=may_differ(status) and _answers(ask))

        return self._heads.get((route.name, image), request)

    def digest(self, route: Route, image: str) -> str:
        """The digest that an image's tag points to: from HEAD, else computed from the manifest."""
        return self.head(route, image).digest or self.manifest(route, image).digest

    def manifest(self, route: Route, image: str) -> FetchedManifest:
        """An image's manifest or index, fetched once per route: manifest requests count against rate limits."""

        def request() -> FetchedManifest:
            return self._request(route, lambda: self.client(route).image(Reference.parse(image)))

        return self._manifests.get((route.name, image), request)

    def platform_image(self, route: Route, image: str, platform: str) -> PlatformImage | None:
        """One platform's manifest of an image, from the facts if they have it; None if the image lacks the platform."""
        if route.proxy == DIRECT:
            known = self.facts.platform_image(route.registry, image, platform)
            if known is not None:
                return known

        def request() -> PlatformImage | None:
            reference, client = Reference.parse(image), self.client(route)
            return find_platform(
                self.manifest(route, image),
                Platform.parse(platform),
                fetch=lambda digest: self._request(route, lambda: client.manifest(reference.pinned(digest))),
                stated=lambda config: self.config(route, image, config).platform,
            )

        return self._platform_images.get((route.name, image, platform), request)

    def look_at_blob(self, route: Route, repository: str, digest: str) -> None:
        """See that the endpoint has a blob; requested once. Raises RegistryError: not_found for a lost one, or why it is not seen."""

        def request() -> None:
            self._request(route, lambda: self.client(route).find_blob(repository, digest))

        self._blobs.get((route.name, repository, digest), request)

    def upstream(self, route: Route) -> Route:
        """The route to the same registry without a proxy, with the registry's own credentials."""
        return route_of(next(entry for entry in self.spec.registries if entry.name == route.registry), None)

    def needed_namespace(self, route: Route, image: str) -> str | None:
        """The upstream's host, if a mirror without `namespace` serves an image only to a request that names it."""
        if route.proxy == DIRECT or route.forward_url is not None or route.namespace:
            return None
        host = login_host(self.upstream(route))
        try:
            found = self.client(replace(route, namespace=host)).digest_at(Reference.parse(image))
        except PullbenchError:
            return None
        return None if found is None else host

    def config(self, route: Route, image: str, descriptor: Descriptor) -> ImageConfig:
        """An image's config. Configs are verified by digest, so routes share them."""
        known = self._configs.get(descriptor.digest)
        if known is not None:
            return known
        repository = route.repository(Reference.parse(image))

        def request() -> ImageConfig:
            found = parse_image_config(self._request(route, lambda: self.client(route).config(repository, descriptor)))
            self._configs[descriptor.digest] = found
            return found

        return self._fetched_configs.get((route.name, repository, descriptor.digest), request)

    def newest_creation(self, route: Route, image: str) -> datetime | None:
        """The latest creation time in the configs of an image's platforms; None if no config has one."""
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

    def _request(self, route: Route, request: Callable[[], Answer]) -> Answer:
        """Make a request, unless the route has failed, limits requests, or timed out twice: then raise that error again."""
        if route.name in self._route_failures:
            raise self._route_failures[route.name]
        try:
            return request()
        except RegistryError as error:
            if error.code in SILENT:
                self._silences[route.name] += 1
            if error.code in (*ROUTE_FAILURES, ErrorCode.RATE_LIMITED) or (  # the client has waited for a limit
                error.code in SILENT and self._silences[route.name] >= _SILENCES
            ):
                self._route_failures[route.name] = error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()


def _answers(ask: Callable[[], ManifestHead]) -> bool:
    try:
        ask()
    except RegistryError:
        return False
    return True


def _was_silent(facts: Facts, registry: str) -> bool:
    """Whether the registry timed out when the facts were gathered."""
    return any(image.registry == registry and image.error_code in SILENT for image in facts.images.values())


class Memo(Generic[Key, Value]):
    """One call per key; concurrent callers wait for its result.

    A failure (PullbenchError) is remembered and raised again, so that only the first caller waits for a silent registry.
    """

    def __init__(self) -> None:
        self._found: dict[Key, Value | PullbenchError] = {}
        self._locks: dict[Key, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Key, request: Callable[[], Value]) -> Value:
        """The result of `request` for the key, made now or before."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._found:
                try:
                    self._found[key] = request()
                except PullbenchError as error:
                    self._found[key] = error
            found = self._found[key]
        if isinstance(found, PullbenchError):
            raise found
        return found
