"""An image that a file or a person names, as a container runtime resolves it."""

from dataclasses import dataclass

from pullbench.model.addresses import DOCKER_HUB_API, DOCKER_HUB_HOSTS
from pullbench.model.reference import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """An image's place in a file, as written there; `why_not` is the reason if it cannot be pulled."""

    where: str
    image: str = ""
    why_not: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundImage:
    """An image as a container runtime resolves it: the registry's host, and the reference there."""

    host: str
    reference: Reference

    @property
    def url(self) -> str:
        """HTTPS, as runtimes use, but plain HTTP for a registry on this machine."""
        name = self.host.partition(":")[0]
        scheme = "http" if name == "localhost" or name.startswith("127.") else "https"
        return f"{scheme}://{self.host}"


def read_image(text: str) -> FoundImage:
    """Read `[host/]repository[:tag][@digest]` with Docker's defaults: no host is Docker Hub, no owner is `library`.

    Raises ValueError for anything that is not a reference, including templates such as `${IMAGE}`.
    """
    head, slash, rest = text.partition("/")
    if slash and ("." in head or ":" in head or head == "localhost"):
        host, name = head, rest
    else:
        host, name = DOCKER_HUB_API, text
    host = serving_host(host)
    if host == DOCKER_HUB_API and "/" not in name:
        name = f"library/{name}"
    return FoundImage(host=host, reference=Reference.parse(name))


def serving_host(host: str) -> str:
    """The host that serves a registry's images: one for all names of Docker Hub."""
    return DOCKER_HUB_API if host in DOCKER_HUB_HOSTS else host


def read_image_at(host: str, text: str) -> FoundImage:
    """An image of the named registry; its host may stand before it, as in `docker pull`. Raises ValueError as read_image."""
    for name in DOCKER_HUB_HOSTS if host == DOCKER_HUB_API else (host,):
        text = text.removeprefix(f"{name}/")
    if host == DOCKER_HUB_API:
        return read_image(f"{host}/{text}")
    return FoundImage(host=host, reference=Reference.parse(text))
