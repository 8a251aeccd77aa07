"""What checks look at: the spec, the facts, and one client a route, opened when first asked for."""

import threading
from collections.abc import Callable, Collection
from contextlib import ExitStack
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from pullbench.daemon.docker import DockerDaemon
from pullbench.model.facts import Facts
from pullbench.model.plan import Plan, routes
from pullbench.model.reference import Reference
from pullbench.model.route import Route
from pullbench.model.spec import Spec
from pullbench.registry.client import FetchedManifest, RegistryClient
from pullbench.registry.keychain import Keychain


def system_now() -> datetime:
    return datetime.now(UTC)


class World:
    """The argument of every probe; safe for threads. Close it after the last check."""

    def __init__(
        self,
        spec: Spec,
        facts: Facts,
        keychain: Keychain,
        *,
        ways: Collection[tuple[str, str]] | None = None,
        plan: Plan | None = None,
        client: Callable[[Route, Keychain], RegistryClient] = RegistryClient,
        daemon: Callable[[str | None], DockerDaemon] = DockerDaemon,
        now: Callable[[], datetime] = system_now,
    ) -> None:
        self.spec = spec
        self.facts = facts
        self.keychain = keychain
        self.plan = plan
        """What the run would do; None where a preflight stands alone, without facts."""
        self.now = now
        self.routes = tuple(route for way, route in routes(spec).items() if ways is None or way in ways)
        self.platforms = tuple(spec.matrix.platforms or [facts.host_platform])
        self._open = client
        self._open_daemon = daemon
        self._daemons: dict[str | None, DockerDaemon] = {}
        self._clients: dict[str, RegistryClient] = {}
        self._manifests: dict[tuple[str, str], FetchedManifest] = {}
        self._locks: dict[tuple[str, str], threading.Lock] = {}
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

    def manifest(self, route: Route, image: str) -> FetchedManifest:
        """An image's manifest or index, fetched once a route: manifest requests count against rate limits."""
        key = (route.name, image)
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._manifests:
                self._manifests[key] = self.client(route).manifest(Reference.parse(image))
            return self._manifests[key]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()
