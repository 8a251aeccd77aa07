"""Whom a client connects to on a route: the registry, or the forward proxy before it."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from pullbench.model.route import Route

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A host and a port to connect to."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def of_url(url: str) -> Endpoint:
    """Host and port of a spec's URL, the scheme's port where none is given."""
    parts = urlsplit(url)
    return Endpoint(host=parts.hostname or "", port=parts.port or _DEFAULT_PORTS[parts.scheme])


def of_registry(route: Route) -> Endpoint:
    """The registry, or the mirror in its place."""
    return of_url(route.url)


def of_connection(route: Route) -> Endpoint:
    """What is really connected to: the forward proxy where there is one."""
    return of_url(route.forward_url or route.url)
