"""The tools to plan, check and measure a spec: its engines, its credentials and a clock. It has no store."""

from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import Self

from pullbench.bench.facts import gather_facts
from pullbench.bench.specfile import LoadedSpec
from pullbench.engines.base import Clock, Engine, SystemClock
from pullbench.engines.catalog import make_engine
from pullbench.model.capability import CAPABILITIES
from pullbench.model.facts import Facts
from pullbench.model.finding import Finding
from pullbench.model.plan import Plan, plan
from pullbench.model.record import RunKind
from pullbench.model.stress_plan import plan_stress
from pullbench.preflight.runner import preflight
from pullbench.registry.keychain import Keychain


def _nothing_brought(_store_id: str) -> frozenset[str]:
    return frozenset()


class Workbench:
    """The engines, credentials and clock of a spec; close it at the end.

    `kind` determines how the spec is planned. `block` reads a Prefect Secret by name, for credentials `block:NAME`. With
    `compare_clocks` a run records the offset of this clock to the registries' clocks.
    """

    def __init__(
        self,
        loaded: LoadedSpec,
        *,
        environ: Mapping[str, str],
        vantage: str = "local",
        kind: RunKind = "benchmark",
        block: Callable[[str], str] | None = None,
        clock: Clock | None = None,
        compare_clocks: bool = False,
    ) -> None:
        self.loaded = loaded
        self.spec = loaded.spec
        self.environ = environ
        self.vantage = vantage
        self.kind = kind
        self.clock = clock or SystemClock()
        self.compare_clocks = compare_clocks
        self.keychain = Keychain(environ=environ, block=block)
        self.engines: dict[str, Engine] = {
            name: make_engine(self.spec.engine(name), keychain=self.keychain, clock=self.clock)
            for name in self.spec.matrix.engines
            if "engine" not in CAPABILITIES[self.spec.engine(name).kind].cannot
        }

    def gather(self, brought: Callable[[str], frozenset[str]] = _nothing_brought) -> Facts:
        """Query registries and engines; sends no load.

        `brought` returns the images that earlier runs left in a store, by its ID: runs may remove them, so they count as absent.
        """
        return gather_facts(self.spec, self.engines, keychain=self.keychain, brought=brought)

    def plan(self, facts: Facts) -> Plan:
        """The plan of a run; for a stress test, the maximum. Raises UsageError if nothing can be measured."""
        return plan_stress(self.spec, facts) if self.kind == "stress" else plan(self.spec, facts)

    def preflight(
        self,
        facts: Facts,
        made: Plan | None,
        *,
        engines: Collection[str] | None = None,
        only: Collection[str] = (),
        skip: Collection[str] = (),
    ) -> list[Finding]:
        """Run all checks for a plan's routes; without a plan, for all routes of the matrix.

        `engines` are the engines whose clients to check; None means all of the matrix, including excluded ones.
        """
        return preflight(
            self.spec,
            facts,
            self.keychain,
            only=frozenset(only),
            skip=frozenset(skip),
            plan=made,
            engines=engines,
        )

    def close(self) -> None:
        for engine in self.engines.values():
            engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
