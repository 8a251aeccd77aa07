"""Why a cell cannot be measured: by the spec, by what its engine can do, by the facts. Pure."""

from pullbench.model.capability import CAPABILITIES
from pullbench.model.cell import Cell, pulls_once, trial_images
from pullbench.model.facts import Facts
from pullbench.model.routes import route_of
from pullbench.model.spec import ProxyEntry, Spec


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
    for factor in ("cache", "proxy_cache", "auth"):
        if (reason := capability.refusal(factor, getattr(cell, factor))) is not None:
            return f"engine '{cell.engine}': {reason}"
    if (reason := _proxy_cache_refusal(cell, spec, proxy)) is not None:
        return reason
    pulls = len(trial_images(spec, cell))
    if cell.concurrency > pulls:
        workers = f"cannot keep {cell.concurrency} workers busy"
        if (once := pulls_once(spec, cell)) is not None and pulls == len(spec.images):
            return f"{once}: {pulls} images {workers}; add images or lower the concurrency"
        return f"{pulls} pulls a trial {workers}; raise `pulls_per_trial` or lower the concurrency"
    return _refused_by_facts(cell, spec, facts)


def _proxy_cache_refusal(cell: Cell, spec: Spec, proxy: ProxyEntry | None) -> str | None:
    """Why the proxy's store cannot be made what the cell says, or would change nothing."""
    state = cell.proxy_cache
    if state == "any":
        return None
    if proxy is None:
        return f"`direct` has no proxy whose store could be {state}: it is measured under `proxy_cache: [any]`"
    if proxy.kind == "forward":
        return (
            f"proxy '{proxy.name}' is a forward proxy, whose store nobody knows how to make {state}: "
            "measure it under `proxy_cache: [any]`"
        )
    if cell.cache == "warm":
        return f"a client that has the image already asks proxy '{proxy.name}' for no layer: use `cache: [cold]`"
    if state == "warm":
        return None
    if proxy.cold is None:
        return (
            f"nothing says how proxy '{proxy.name}' becomes cold: give it `cold: {{push: REPOSITORY}}` (synthetic images, "
            f"pushed to '{proxy.upstream}') or `cold: {{reset: [COMMAND]}}`"
        )
    if proxy.cold.push is not None and spec.engine(cell.engine).base_images:
        return (
            f"engine '{cell.engine}' pulls `base_images`, which proxy '{proxy.name}' has seen: "
            "leave out `strategy: base-first`, or give the proxy `cold: {reset: [COMMAND]}`"
        )
    return None


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
