"""One combination of the factors, and the images that its trials pull. Pure."""

import itertools
from dataclasses import asdict, dataclass
from typing import Any

from pullbench.model.capability import CAPABILITIES, AuthMode, CacheState, ProxyCacheState
from pullbench.model.facts import Facts, PlatformImage
from pullbench.model.spec import ProxyEntry, Spec

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


def pulls_once(spec: Spec, cell: Cell) -> str | None:
    """What has an image after its first pull, so that a trial pulls it at most once; None where nothing has."""
    if CAPABILITIES[cell.engine_kind].has_store:
        return f"engine '{cell.engine}' pulls an image at most once a trial"
    if cell.proxy_cache == "cold" and any(entry.cold and entry.cold.reset for entry in _proxy_of(spec, cell)):
        return f"proxy '{cell.proxy}' has an image after one pull, so a cold trial pulls it once"
    return None


def _proxy_of(spec: Spec, cell: Cell) -> list[ProxyEntry]:
    return [entry for entry in spec.proxies if entry.name == cell.proxy]


def trial_images(spec: Spec, cell: Cell) -> tuple[str, ...]:
    """The images that a trial of a cell pulls, one entry a pull; each at most once where its second pull would differ."""
    pulls = spec.pulls_per_trial or max(len(spec.images), *spec.matrix.concurrency)
    if pulls_once(spec, cell) is not None:
        pulls = min(pulls, len(spec.images))
    return tuple(itertools.islice(itertools.cycle(spec.images), pulls))


def expected_image(facts: Facts, cell: Cell, image: str) -> PlatformImage:
    """What the manifest promised for a pull of this cell; KeyError for what `unknown_image` would have named."""
    found = facts.platform_image(cell.registry, image, cell.platform)
    if found is None:
        raise KeyError(f"{image} for {cell.platform} at {cell.registry}")
    return found
