"""One combination of the factors, and the images that its trials pull. Pure."""

import itertools
from dataclasses import asdict, dataclass
from typing import Any

from pullbench.model.capability import CAPABILITIES, AuthMode, CacheState, ProxyCacheState
from pullbench.model.spec import Spec

FACTORS = ("engine", "registry", "proxy", "platform", "concurrency", "cache", "proxy_cache", "auth")
"""What tells cells apart, in the order in which tables show it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One combination of the factors."""

    engine: str
    engine_kind: str
    registry: str
    region: str
    proxy: str
    platform: str
    concurrency: int
    cache: CacheState
    proxy_cache: ProxyCacheState
    auth: AuthMode

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        shown = [self.engine, self.registry, self.proxy, self.platform, f"×{self.concurrency}", self.cache]
        if self.proxy_cache != "any":
            shown.append(f"proxy {self.proxy_cache}")
        if self.auth != "persisted":
            shown.append(f"auth {self.auth}")
        return " · ".join(shown)


def trial_images(spec: Spec, engine_kind: str) -> tuple[str, ...]:
    """The images that a trial pulls, one entry a pull; an engine with a store pulls each at most once."""
    pulls = spec.pulls_per_trial or max(len(spec.images), *spec.matrix.concurrency)
    if CAPABILITIES[engine_kind].has_store:
        pulls = min(pulls, len(spec.images))
    return tuple(itertools.islice(itertools.cycle(spec.images), pulls))
