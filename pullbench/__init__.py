"""Preflight checks and parameterized pull benchmarks for container registries.

    import pullbench as pb

    spec = pb.load_spec("spec.yaml", set={"matrix.concurrency": [1, 4]})
    run = pb.run(spec, results="results", on_progress=print)
    run.configurations, run.pulls, run.verdict
    run.write_report("reports")

Names are imported when they are first used, so that `import pullbench` costs nothing. docs/api.md has every one.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pullbench.app.api import (
        BenchmarkTrend,
        Run,
        RunComparison,
        compare,
        load_spec,
        open_regional,
        open_run,
        open_runs,
        plan,
        preflight,
        run,
        trend,
    )
    from pullbench.errors import (
        ErrorCode,
        IncompleteError,
        InterruptedRunError,
        MissingExtraError,
        PreflightFailed,
        PullbenchError,
        RegistryError,
        UsageError,
    )
    from pullbench.model.finding import Finding, Status
    from pullbench.model.spec import Spec

__version__ = "0.1.0"
__all__ = [
    "BenchmarkTrend",
    "ErrorCode",
    "Finding",
    "IncompleteError",
    "InterruptedRunError",
    "MissingExtraError",
    "PreflightFailed",
    "PullbenchError",
    "RegistryError",
    "Run",
    "RunComparison",
    "Spec",
    "Status",
    "UsageError",
    "compare",
    "load_spec",
    "open_regional",
    "open_run",
    "open_runs",
    "plan",
    "preflight",
    "run",
    "trend",
]
_ELSEWHERE = {
    **dict.fromkeys(
        [name for name in __all__ if name.endswith("Error") or name in ("ErrorCode", "PreflightFailed")],
        "pullbench.errors",
    ),
    **dict.fromkeys(("Finding", "Status"), "pullbench.model.finding"),
    "Spec": "pullbench.model.spec",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'pullbench' has no attribute '{name}'")
    return getattr(import_module(_ELSEWHERE.get(name, "pullbench.app.api")), name)


class _Package(ModuleType):
    """The package itself. Its name `preflight` is the function, also once the room of that name was imported."""

    @property
    def preflight(self) -> Any:
        return import_module("pullbench.app.api").preflight

    @preflight.setter
    def preflight(self, room: object) -> None:
        """The import system binds a submodule to its package; `from pullbench.preflight import …` needs no such name."""


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
