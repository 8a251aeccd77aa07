"""Maps each kind of engine to its class. A new kind needs one more line."""

from importlib import import_module
from typing import cast

from pullbench.engines.base import Clock, Engine
from pullbench.model.capability import EngineKind
from pullbench.model.spec import EngineEntry
from pullbench.registry.keychain import Keychain

# Imported on first use: pycurl and the Docker SDK are slow to import, and may be missing if they are not used.
_CLASSES: dict[EngineKind, tuple[str, str]] = {
    "wire": ("pullbench.engines.wire.engine", "WireEngine"),
    "docker": ("pullbench.engines.docker.engine", "DockerEngine"),
    "podman": ("pullbench.engines.command.podman", "PodmanEngine"),
    "skopeo": ("pullbench.engines.command.skopeo", "SkopeoEngine"),
    "containerd": ("pullbench.engines.command.containerd", "ContainerdEngine"),
    "fake": ("pullbench.engines.fake", "FakeEngine"),
}


def make_engine(entry: EngineEntry, *, keychain: Keychain, clock: Clock) -> Engine:
    """The engine for an entry's kind; contacts nothing."""
    module, name = _CLASSES[entry.kind]
    return cast("Engine", getattr(import_module(module), name)(entry, keychain=keychain, clock=clock))
