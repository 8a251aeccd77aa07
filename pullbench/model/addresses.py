"""Addresses of a route: the endpoint that a client connects to, and the names for Docker and skopeo commands."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from pullbench.model.reference import Reference
from pullbench.model.route import Route

DOCKER_HUB = "docker.io"
DOCKER_HUB_API = "registry-1.docker.io"
"""The host that serves Docker Hub's images."""
DOCKER_HUB_HOSTS = frozenset(
    {DOCKER_HUB, DOCKER_HUB_API, "index.docker.io", "registry.hub.docker.com", "hub.docker.com"}
)
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A host and a port to connect to."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def registry_endpoint(route: Route) -> Endpoint:
    """The registry's endpoint, or the mirror's."""
    return _endpoint_of(route.url)


def connected_endpoint(route: Route) -> Endpoint:
    """The endpoint that a client connects to: the forward proxy's if there is one."""
    return _endpoint_of(route.forward_url or route.url)


def _endpoint_of(url: str) -> Endpoint:
    parts = urlsplit(url)
    return Endpoint(host=parts.hostname or "", port=parts.port or _DEFAULT_PORTS[parts.scheme])


def login_host(route: Route) -> str:
    """The argument of `docker login`: `docker.io` for all of Docker Hub's hosts."""
    return DOCKER_HUB if route.host in DOCKER_HUB_HOSTS else route.host


def official_name(route: Route, repository: str) -> str | None:
    """`library/NAME` for a name without a namespace on Docker Hub, which has its official images there; else None."""
    return f"library/{repository}" if route.host in DOCKER_HUB_HOSTS and "/" not in repository else None


def image_name(route: Route, reference: Reference) -> str:
    """`HOST/REPOSITORY:TAG`, or `HOST/REPOSITORY@DIGEST`, for Docker and skopeo."""
    repository = f"{login_host(route)}/{route.repository(reference)}"
    return f"{repository}@{reference.digest}" if reference.digest else f"{repository}:{reference.locator}"
