"""The flow `pull-benchmark`: facts → plan → preflight → trials → results → report."""

from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from pullbench.app.run import RunRequest, preparing
from pullbench.model.spec import Overrides
from pullbench.serving.secrets import read_block
from tasks.run import measure


@flow(name="pull-benchmark", flow_run_name="{spec} at {vantage}", retries=0, persist_result=False)
def pull_benchmark(
    spec: Annotated[str, Field(min_length=1)],
    overrides: Overrides = Overrides(),  # noqa: B008  (frozen; Prefect's form reads the default)
    vantage: Annotated[str, Field(min_length=1, max_length=63)] = "local",
    settings: list[str] = [],  # noqa: B006  (Prefect's form reads the default; nothing changes it)
    results: str = "results",
    reports: str = "reports",
    resume: str | None = None,
    skip_preflight: bool = False,
    report: bool = True,
    regional: str | None = None,
) -> State[Any]:
    """Measure how fast images pull under each setting of a spec, and report it.

    Args:
        spec: Path of the spec file in the checkout, such as specs/first.yaml.
        overrides: Factors to measure in place of the spec's; what is left empty stays as the spec says.
        vantage: Label of the place where this client stands.
        settings: Further changes to the spec as KEY=VALUE, such as budget.minutes=10.
        results: Folder or URL that the Parquet goes to.
        reports: Folder that the HTML report goes to.
        resume: Identifier of an incomplete run to go on with, or latest; empty begins a new one.
        skip_preflight: Send load without checking first.
        report: Render the HTML report at the end.
        regional: Identifier of the regional benchmark that started this run; that flow sets it.
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
        regional=regional,
    )
    return measure(preparing(request, block=read_block))
