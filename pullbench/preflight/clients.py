"""The targets of checks about this machine's clients: the engines that the spec takes."""

from pullbench.model.spec import EngineEntry
from pullbench.preflight.check import Local
from pullbench.preflight.world import World

NO_DOCKER = Local(name="docker")
"""Stands for the daemon where the spec uses none."""


def local(entry: EngineEntry) -> Local:
    """The same target for every check of an engine, so that they are shown together and can need each other."""
    return Local(name=f"engine {entry.name}")


def entry_of(world: World, target: Local) -> EngineEntry:
    """The engine that a target is about; KeyError where it is about none."""
    return {local(entry): entry for entry in world.engines}[target]


def every_docker(world: World) -> list[Local]:
    """Each engine of kind docker; one that stands for all where there is none, so that the check says so."""
    return [local(entry) for entry in world.engines if entry.kind == "docker"] or [NO_DOCKER]


def without_docker(target: Local) -> str | None:
    """Why a check of the daemon does not apply."""
    return "the spec uses no engine of kind docker" if target == NO_DOCKER else None
