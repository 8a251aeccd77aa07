"""The flow `stress-test`: facts → plan → preflight → steps of rising load, hold, way down → Parquet → report."""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from pullbench.app.run import RunRequest, preparing
from pullbench.model.spec import StressOverrides
from pullbench.serving.secrets import read_block
from tasks.run import measure


@flow(name="stress-test", flow_run_name="{spec} at {vantage}", retries=0, persist_result=False)
def stress_test(
    spec: str,
    overrides: StressOverrides = StressOverrides(),  # noqa: B008  (frozen; Prefect's form reads the default)
    vantage: str = "local",
    settings: list[str] = [],  # noqa: B006  (Prefect's form reads the default; nothing changes it)
    results: str = "results",
    reports: str = "reports",
    resume: str | None = None,
    skip_preflight: bool = False,
    report: bool = True,
) -> State[Any]:
    """Raise the load step by step until an SLO is missed, keep it there, lower it again, and report the limit.

    Args:
        spec: Path of the spec file in the checkout, such as specs/stress.yaml.
        overrides: What to ramp in place of what the spec says; what is left empty stays as it is.
        vantage: Label of the place where this client stands.
        settings: Further changes to the spec as KEY=VALUE, such as stress.trials=5.
        results: Folder or URL that the Parquet goes to.
        reports: Folder that the HTML report goes to.
        resume: Identifier of an incomplete stress test to go on with.
        skip_preflight: Send load without checking first.
        report: Render the HTML report at the end.
    """
    request = RunRequest(
        spec=Path(spec),
        overrides=overrides,
        sets=tuple(settings),
        vantage=vantage,
        results=results,
        reports=Path(reports),
        resume=resume,
        skip_preflight=skip_preflight,
        report=report,
        kind="stress",
    )
    return measure(preparing(request, block=read_block))
