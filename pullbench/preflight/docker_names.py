"""Names as Docker and skopeo take them on a command line."""

from pullbench.model.reference import Reference
from pullbench.model.route import Route
from pullbench.registry.keychain import DOCKER_HUB, DOCKER_HUB_HOSTS


def host(route: Route) -> str:
    """What `docker login` takes: `docker.io` for any of Docker Hub's own hosts."""
    return DOCKER_HUB if route.host in DOCKER_HUB_HOSTS else route.host


def name(route: Route, reference: Reference) -> str:
    """`HOST/REPOSITORY:TAG`, or `HOST/REPOSITORY@DIGEST`, at the endpoint of the route."""
    repository = f"{host(route)}/{route.repository(reference)}"
    return f"{repository}@{reference.digest}" if reference.digest else f"{repository}:{reference.locator}"
