"""The flow `fleet-benchmark`: many nodes of a Dask cluster pull one image at the same moment."""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from pullbench.app.fleet import prepared_fleet
from pullbench.app.run import RunRequest
from pullbench.model.spec import Overrides
from pullbench.serving.secrets import read_block
from tasks.form_fields import HiddenText, OptionalText, SpecFile
from tasks.run import measure
from tasks.run_name import named


@flow(name="fleet-benchmark", flow_run_name=named("{spec} on {nodes} nodes"), retries=0, persist_result=False)
def fleet_benchmark(
    spec: SpecFile,
    scheduler: str,
    nodes: int = 100,
    image: OptionalText = "",
    overrides: Overrides = Overrides(),  # noqa: B008  (frozen; Prefect's form reads the default)
    vantage: str = "fleet",
    settings: list[str] = [],  # noqa: B006
    resume: OptionalText = "",
    skip_preflight: bool = False,
    report: bool = True,
    results: HiddenText = "results",
    reports: HiddenText = "reports",
) -> State[Any]:
    """Measure how long a whole fleet needs to get one image, and what the registry itself serves meanwhile.

    Args:
        spec: What to measure. A spec of the project, or the path of another file in it.
        scheduler: Address of the Dask scheduler whose workers run on the nodes, such as tcp://10.0.0.1:8786.
        nodes: How many nodes pull at the same moment. With fewer workers, each worker stands for several nodes.
        image: The image that all nodes pull. Empty takes the first of the spec.
        overrides: Values that replace those of the spec. The concurrency is the number of nodes.
        vantage: Where the fleet runs; a label.
        settings: Further changes to the spec as KEY=VALUE, such as repetitions=5.
        resume: To resume a run, its run_id. Empty starts a new run.
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
        skip_preflight=skip_preflight,
        report=report,
    )
    return measure(prepared_fleet(request, scheduler=scheduler, nodes=nodes, image=image or None, block=read_block))
