"""One trial of the wire engine, measured as a run measures it, on images of a registry of the lab."""

from collections.abc import Mapping
from typing import Any

from pullbench.bench.facts import gather_facts
from pullbench.bench.trial import pull_requests, run_trial
from pullbench.engines.base import SystemClock
from pullbench.engines.wire.engine import WireEngine
from pullbench.model.facts import Facts
from pullbench.model.plan import plan, routes
from pullbench.model.record import TrialResult
from pullbench.model.spec import Spec, read_spec
from pullbench.registry.keychain import Keychain


def lab_spec(url: str, *images: str, credentials: str = "anonymous", **changes: Any) -> Spec:
    """One registry, one engine, one platform, one block: one trial."""
    engine = {"name": "client", "kind": "wire", **changes.pop("engine", {})}
    matrix = {"platforms": ["linux/amd64"], "engines": ["client"], **changes.pop("matrix", {})}
    return read_spec(
        {
            "name": "lab-trial",
            "registries": [{"name": "lab", "url": url, "credentials": credentials}],
            "images": list(images),
            "engines": [engine],
            "matrix": matrix,
            "warmup": 0,
            "repetitions": 1,
            **changes,
        }
    )


def lab_facts(spec: Spec, environ: Mapping[str, str] | None = None) -> Facts:
    """What the registry tells of the images."""
    return gather_facts(spec, {}, keychain=Keychain(environ=environ or {}), brought=lambda _store: frozenset())


def lab_result(spec: Spec, facts: Facts, environ: Mapping[str, str] | None = None) -> TrialResult:
    """Measure the plan's first trial."""
    trial, keychain, clock = plan(spec, facts).trials[0], Keychain(environ=environ or {}), SystemClock()
    engine = WireEngine(spec.engine("client"), keychain=keychain, clock=clock)
    try:
        return run_trial(
            trial,
            pull_requests(trial, spec, facts, routes(spec)["lab", "direct"]),
            engine,
            clock=clock,
            cache_reset="own",
            brought=frozenset(),
            before_pulls=lambda names: None,
            ceiling=None,
            load=spec.load,
            seed=spec.seed,
        )
    finally:
        engine.close()
