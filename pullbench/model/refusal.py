"""Why a cell cannot be measured: by the spec, by what its engine can do, by the facts. Pure."""

from pullbench.model.capability import CAPABILITIES
from pullbench.model.cell import Cell, trial_images
from pullbench.model.facts import Facts
from pullbench.model.routes import route_of
from pullbench.model.spec import Spec


def refusal(cell: Cell, spec: Spec, facts: Facts) -> str | None:
    """Why a cell cannot be; None where it can."""
    capability = CAPABILITIES[cell.engine_kind]
    proxy = next((entry for entry in spec.proxies if entry.name == cell.proxy), None)
    if proxy is not None and proxy.upstream not in (None, cell.registry):
        return f"proxy '{proxy.name}' is a mirror of '{proxy.upstream}', not of '{cell.registry}'"
    if proxy is not None and (reason := spec.engine(cell.engine).refuses_proxy(proxy.kind, proxy.url)) is not None:
        return f"engine '{cell.engine}': {reason}"
    registry = next(entry for entry in spec.registries if entry.name == cell.registry)
    for demand in route_of(registry, proxy).demands:
        if (reason := capability.refusal("proxy", demand)) is not None:
            return f"engine '{cell.engine}': {reason}"
    for factor in ("cache", "auth"):
        if (reason := capability.refusal(factor, getattr(cell, factor))) is not None:
            return f"engine '{cell.engine}': {reason}"
    pulls = len(trial_images(spec, cell.engine_kind))
    if cell.concurrency > pulls:
        workers = f"cannot keep {cell.concurrency} workers busy"
        if capability.has_store and pulls == len(spec.images):
            once = f"engine '{cell.engine}' pulls an image at most once a trial"
            return f"{once}: {pulls} images {workers}; add images or lower the concurrency"
        return f"{pulls} pulls a trial {workers}; raise `pulls_per_trial` or lower the concurrency"
    return _refused_by_facts(cell, spec, facts)


def _refused_by_facts(cell: Cell, spec: Spec, facts: Facts) -> str | None:
    engine = facts.engines.get(cell.engine)
    if engine is None:
        return None
    if engine.unavailable is not None:
        return f"engine '{cell.engine}': {engine.unavailable}"
    if cell.cache == "cold" and spec.cache_reset == "own":
        for image in spec.images:
            found = facts.platform_image(cell.registry, image, cell.platform)
            if found is not None and found.manifest.config.digest in engine.present:
                return (
                    f"{image} was in the store of '{cell.engine}' before the run, so it cannot be pulled cold: "
                    "remove it, or set `cache_reset: remove`"
                )
    return None
