"""Finds images in compose files and Kubernetes manifests, for a first spec."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pullbench.model.reference import Reference

DOCKER_HUB = "registry-1.docker.io"
_WITH_DEFAULT = re.compile(r"\$\{\w+:?-([^${}]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundImage:
    """An image as a container runtime would resolve it: the registry's host, and the reference there."""

    host: str
    reference: Reference

    @property
    def url(self) -> str:
        """Runtimes speak HTTPS, but plain HTTP to a registry on this machine."""
        name = self.host.partition(":")[0]
        scheme = "http" if name == "localhost" or name.startswith("127.") else "https"
        return f"{scheme}://{self.host}"


def read_image(text: str) -> FoundImage:
    """Read `[host/]repository[:tag][@digest]` with Docker's defaults: no host is Docker Hub, no owner is `library`.

    Raises ValueError for what is no reference, a template such as `${IMAGE}` included.
    """
    head, slash, rest = text.partition("/")
    if slash and ("." in head or ":" in head or head == "localhost"):
        host, name = head, rest
    else:
        host, name = "docker.io", text
    if host in ("docker.io", "index.docker.io"):
        host = DOCKER_HUB
        name = name if "/" in name else f"library/{name}"
    return FoundImage(host=host, reference=Reference.parse(name))


def with_defaults(text: str) -> str:
    """A compose file's `${NAME:-default}` and `${NAME-default}` with their defaults; ValueError for one without."""
    filled = _WITH_DEFAULT.sub(lambda found: found[1], text)
    if "$" in filled:
        raise ValueError("it has a variable without a default")
    return filled


def images_in(documents: Iterable[Any]) -> Iterator[str]:
    """Every `image:` of the documents of a compose file or of Kubernetes manifests, init containers included."""
    for document in documents:
        yield from _walk(document)


def _walk(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "image" and isinstance(value, str):
                yield value
            else:
                yield from _walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from _walk(value)
