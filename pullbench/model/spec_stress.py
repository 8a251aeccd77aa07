"""How a stress test raises the load: the spec's `stress`, and what the Prefect form may change of it."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pullbench.model.spec_fields import Strict

RampKind = Literal["concurrency", "rate"]
LoadValue = Annotated[float, Field(gt=0, le=10_000)]
MOST_AT_ONCE = 1024


class Stress(Strict):
    """How `pullbench stress` raises the load until an objective of `slo` is missed, holds it there, and lowers it again."""

    ramp: RampKind = "concurrency"
    """concurrency: pulls at once, each worker starting its next when its last ended (closed loop). rate: pulls a second,
    which arrive whatever the registry does (open loop); latency counts from the arrival."""
    steps: list[LoadValue] = Field(default=[1, 2, 4, 8, 16, 32, 64], min_length=1, max_length=100)
    """The loads on the way up, ascending: pulls at once, or pulls a second. The last is the top."""
    trials: int = Field(default=3, ge=3, le=100)
    """Trials of each step: the replicates behind its intervals, without which no mean can be shown to be missed."""
    pulls_per_worker: int = Field(default=3, ge=1, le=1000)
    """concurrency: pulls that each worker makes in a trial, rounded up so that every image is pulled equally often."""
    trial_s: float = Field(default=10.0, gt=0, le=3600)
    """rate: for how long pulls arrive in a trial."""
    in_flight: int = Field(default=64, ge=1, le=MOST_AT_ONCE)
    """rate: the most pulls under way at once; what arrives beyond it waits in the client, and that counts."""
    hold: int = Field(default=3, ge=0, le=1000)
    """Trials at the highest load reached, before the way down: does it get worse if it lasts? 0 leaves it out."""
    down: list[LoadValue] | None = Field(default=None, max_length=100)
    """The loads on the way down, descending, of which those under the highest load reached are taken. Default: the steps of
    the way up in reverse. [] leaves the way down out, and with it recovery."""

    @model_validator(mode="after")
    def _loads_go_one_way(self) -> Self:
        if any(first >= second for first, second in pairwise(self.steps)):
            raise ValueError("`steps` must ascend, such as [1, 2, 4, 8]")
        if any(first <= second for first, second in pairwise(self.down or [])):
            raise ValueError("`down` must descend, such as [8, 4, 1]")
        if self.ramp == "concurrency":
            for load in (*self.steps, *(self.down or [])):
                if load != int(load) or load > MOST_AT_ONCE:
                    raise ValueError(f"{load:g} is no number of pulls at once: whole, and at most {MOST_AT_ONCE}")
        return self


class StressOverrides(Strict):
    """What the Prefect form may change of a stress test; what is left empty stays as the spec says."""

    engine: str | None = Field(default=None, title="Engine")
    """One of the spec's engines, or wire, docker, podman, skopeo, containerd"""
    registry: str | None = Field(default=None, title="Registry")
    """One of the spec's registries"""
    proxy: str | None = Field(default=None, title="Proxy")
    """One of the spec's proxies, or direct"""
    platform: str | None = Field(default=None, title="Platform")
    """Such as linux/amd64"""
    ramp: RampKind | None = Field(default=None, title="Ramp")
    """What is raised: pulls at once, or pulls a second"""
    steps: list[float] = Field(default=[], title="Steps")
    """The loads on the way up, such as 1, 2, 4, 8, 16"""
    hold: int | None = Field(default=None, ge=0, le=1000, title="Hold")
    """Trials at the highest load reached"""

    def apply(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The spec's mapping with what is given here in place of its own; a section that is none stays, to be refused."""
        matrix, stress = data.get("matrix") or {}, data.get("stress") or {}
        if not isinstance(matrix, Mapping) or not isinstance(stress, Mapping):
            return dict(data)
        factors = {"engine": "engines", "registry": "registries", "proxy": "proxies", "platform": "platforms"}
        given = {key: value for key, value in self.model_dump().items() if value not in ([], None)}
        chosen = {plural: [given.pop(single)] for single, plural in factors.items() if single in given}
        return {**data, "matrix": {**matrix, **chosen}, "stress": {**stress, **given}}
