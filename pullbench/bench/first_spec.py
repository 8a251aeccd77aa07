"""What a first spec says of a registry and this machine: a name for the registry, and the engines that can pull here."""

import re

from pullbench.daemon.docker import DockerDaemon
from pullbench.errors import RegistryError
from pullbench.model.addresses import DOCKER_HUB_API
from pullbench.preflight.parallel import with_timeout

_PATIENCE_S = 2.0
_LONGEST = 30
_GENERIC = frozenset({"registry", "registries", "docker", "hub", "cr", "containers", "images", "www"})
_ECR = re.compile(r"\d+\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com")


def name_of_host(host: str) -> str:
    """A registry's name in a spec: the labels of its host that tell it from others, such as `ghcr` or `eu-example`."""
    if host == DOCKER_HUB_API:
        return "docker-hub"
    name = re.sub(r":\d+$", "", host.lower())
    if name == "localhost" or re.fullmatch(r"127\.[\d.]+|\[::1\]", name):
        return "local"
    if region := _ECR.fullmatch(name):
        return f"ecr-{region[1]}"
    labels = [label for label in re.sub(r"[^a-z0-9.-]", "", name).split(".") if label]
    if not labels or all(label.isdecimal() for label in labels):
        return "registry"
    own = labels[:-1] if len(labels) > 1 else labels
    telling = [label for label in own if label not in _GENERIC] or own
    return "-".join(telling)[:_LONGEST].strip("-") or "registry"


def docker_answers() -> bool:
    """Whether a Docker daemon answers here within two seconds."""

    def ask() -> bool:
        daemon = DockerDaemon()
        try:
            daemon.version()
        except RegistryError:
            return False
        finally:
            daemon.close()
        return True

    try:
        return with_timeout(ask, _PATIENCE_S, name="docker")
    except TimeoutError:
        return False


def usual_engines() -> list[str]:
    """docker beside wire where a daemon answers: what a node does, and what the registry and the network can do."""
    return ["docker", "wire"] if docker_answers() else ["wire"]
