"""Which class is which kind of engine: the one place that knows; a new kind is one more line."""

from importlib import import_module
from typing import cast

from pullbench.engines.base import Clock, Engine
from pullbench.model.capability import EngineKind
from pullbench.model.spec import EngineEntry
from pullbench.registry.keychain import Keychain

# Imported when first made: pycurl and the Docker SDK cost start-up time, and may be missing where nobody uses them.
_CLASSES: dict[EngineKind, tuple[str, str]] = {
    "wire": ("pullbench.engines.wire.engine", "WireEngine"),
    "docker": ("pullbench.engines.docker.engine", "DockerEngine"),
    "podman": ("pullbench.engines.command.podman", "PodmanEngine"),
    "skopeo": ("pullbench.engines.command.skopeo", "SkopeoEngine"),
    "containerd": ("pullbench.engines.command.containerd", "ContainerdEngine"),
    "fake": ("pullbench.engines.fake", "FakeEngine"),
}


def make_engine(entry: EngineEntry, *, keychain: Keychain, clock: Clock) -> Engine:
    """The engine of an entry's kind; nothing is contacted yet."""
    module, name = _CLASSES[entry.kind]
    return cast("Engine", getattr(import_module(module), name)(entry, keychain=keychain, clock=clock))
