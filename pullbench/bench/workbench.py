"""What a spec needs to be planned, checked and measured: its engines, its credentials and a clock. It has no store."""

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
    """Holds what measuring a spec takes; close it at the end.

    `kind` decides how the spec is planned. `block` reads a Prefect Secret by name, for credentials of the kind
    `block:NAME`. With `compare_clocks` a run records how far this clock is from the registries' clocks.
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
        """Ask registries and engines; no load is sent.

        `brought` says, by a store's ID, which images earlier runs left there: they count as absent, since a run may remove them.
        """
        return gather_facts(self.spec, self.engines, keychain=self.keychain, brought=brought)

    def plan(self, facts: Facts) -> Plan:
        """What a run will do; for a stress test, the most it can come to. Raises UsageError where nothing is left."""
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
        """Run every check of the routes that a plan takes; without a plan, of all routes of the matrix.

        `engines` are those whose clients are looked at; None means all of the matrix, excluded ones too.
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
