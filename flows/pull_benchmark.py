"""The flow `pull-benchmark`: facts → plan → preflight → trials → results → report."""

from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import deployment
from pydantic import Field

from pullbench.app.form import RegistryForm, RunForm
from pullbench.app.run import RunRequest
from pullbench.model.spec import Overrides
from pullbench.serving.secrets import read_block
from tasks.form_fields import DEFAULT_SPEC, HiddenOption, HiddenText, OptionalText, SpecFile
from tasks.run import measure
from tasks.run_name import named


@flow(name="pull-benchmark", flow_run_name=named("{spec} at {vantage}"), retries=0, persist_result=False)
def pull_benchmark(
    spec: SpecFile = DEFAULT_SPEC,
    registry: RegistryForm = RegistryForm(),  # noqa: B008  (frozen; Prefect's form reads the default)
    overrides: Overrides = Overrides(),  # noqa: B008
    vantage: Annotated[str, Field(min_length=1, max_length=63)] = "local",
    settings: list[str] = [],  # noqa: B006  (Prefect's form reads the default; nothing changes it)
    resume: OptionalText = "",
    only: list[str] = [],  # noqa: B006
    skip: list[str] = [],  # noqa: B006
    skip_preflight: bool = False,
    report: bool = True,
    results: HiddenText = "results",
    reports: HiddenText = "reports",
    regional: HiddenOption = None,
) -> State[Any]:
    """Measure how fast images pull in each configuration of a spec, or from a registry that no spec names.

    Args:
        spec: What to measure. A spec of the project, or the path of another file in it.
        registry: Or measure a registry without a spec. Once its URL is filled in, the spec is not used.
        overrides: Values that replace those of the spec. Empty fields keep the spec's own.
        vantage: Where this client runs; a label of 1 to 63 characters.
        settings: Further changes to the spec as KEY=VALUE, such as budget.minutes=10.
        resume: To resume a run, its run_id. The run keeps its spec and vantage; what differs here is refused. Empty starts a new run.
        only: Checks to run first, by id or group; the others are left out. Empty runs all.
        skip: Checks to leave out, by id or group.
        skip_preflight: Send load without checking first.
        report: Render the HTML report at the end.
        results: Directory or URL that the Parquet files go to.
        reports: Directory that the HTML report goes to.
        regional: Identifier of the regional benchmark that started this run; that flow sets it.
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
        regional=regional,
    )
    form = RunForm(request=request, registry=registry, is_deployed=deployment.id is not None)
    return measure(form.preparing(read_block))
