"""Which class is which kind of engine: the one place that knows; a new kind is one more line."""

from importlib import import_module
from typing import cast

from pullbench.engines.base import Engine
from pullbench.engines.clock import Clock
from pullbench.errors import UsageError
from pullbench.model.spec import EngineEntry
from pullbench.registry.keychain import Keychain

# Imported when first made: pycurl and the Docker SDK cost start-up time, and may be missing where nobody uses them.
_CLASSES = {
    "wire": ("pullbench.engines.wire", "WireEngine"),
    "docker": ("pullbench.engines.docker", "DockerEngine"),
    "fake": ("pullbench.engines.fake", "FakeEngine"),
}


def make_engine(entry: EngineEntry, *, keychain: Keychain, clock: Clock) -> Engine:
    """The engine of an entry's kind; nothing is contacted yet.

    Raises UsageError for a kind that is not built; a plan leaves those out by CAPABILITIES before any is made.
    """
    if entry.kind not in _CLASSES:
        built = ", ".join(_CLASSES)
        raise UsageError(f"engines.{entry.name}: kind '{entry.kind}' is not built yet; there are: {built}")
    module, name = _CLASSES[entry.kind]
    return cast("Engine", getattr(import_module(module), name)(entry, keychain=keychain, clock=clock))
