"""The flow `stress-test`: facts → plan → preflight → steps of rising load, hold, way down → Parquet → report."""

from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import deployment
from pydantic import Field

from pullbench.app.form import RunForm
from pullbench.app.run import RunRequest
from pullbench.model.spec import StressOverrides
from pullbench.serving.secrets import read_block
from tasks.form_fields import HiddenText, OptionalText, SpecFile
from tasks.run import measure
from tasks.run_name import named


@flow(name="stress-test", flow_run_name=named("{spec} at {vantage}"), retries=0, persist_result=False)
def stress_test(
    spec: SpecFile,
    overrides: StressOverrides = StressOverrides(),  # noqa: B008  (frozen; Prefect's form reads the default)
    vantage: Annotated[str, Field(min_length=1, max_length=63)] = "local",
    settings: list[str] = [],  # noqa: B006  (Prefect's form reads the default; nothing changes it)
    resume: OptionalText = "",
    only: list[str] = [],  # noqa: B006
    skip: list[str] = [],  # noqa: B006
    skip_preflight: bool = False,
    report: bool = True,
    results: HiddenText = "results",
    reports: HiddenText = "reports",
) -> State[Any]:
    """Raise the load step by step until an SLO is missed, keep it there, lower it again, and report the limit.

    Args:
        spec: What to load. A spec of the project, or the path of another file in it.
        overrides: Values that replace those of the spec. Empty fields keep the spec's own.
        vantage: Where this client runs; a label of 1 to 63 characters.
        settings: Further changes to the spec as KEY=VALUE, such as stress.trials=5.
        resume: To resume a stress test, its run_id. It keeps its spec and vantage; what differs here is refused. Empty starts a new one.
        only: Checks to run first, by id or group; the others are left out. Empty runs all.
        skip: Checks to leave out, by id or group.
        skip_preflight: Send load without checking first.
        report: Render the HTML report at the end.
        results: Directory or URL that the Parquet files go to.
        reports: Directory that the HTML report goes to.
    """
    request = RunRequest(
        spec=Path(spec),
        overrides=overrides,
        sets=tuple(settings),
        vantage=vantage,
        results=results,
        reports=Path(reports),
        resume=resume or None,
        only=tuple(only),
        skip=tuple(skip),
        skip_preflight=skip_preflight,
        report=report,
        kind="stress",
    )
    form = RunForm(request=request, is_deployed=deployment.id is not None)
    return measure(form.preparing(read_block))
