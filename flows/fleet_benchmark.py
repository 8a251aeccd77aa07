"""The flow `fleet-benchmark`: many nodes of a Dask cluster pull one image at the same moment."""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from pullbench.app.fleet import prepared_fleet
from pullbench.app.run import RunRequest
from pullbench.model.spec import Overrides
from pullbench.serving.secrets import read_block
from tasks.run import measure


@flow(name="fleet-benchmark", flow_run_name="{spec} on {nodes} nodes", retries=0, persist_result=False)
def fleet_benchmark(
    spec: str,
    scheduler: str,
    nodes: int = 100,
    image: str | None = None,
    overrides: Overrides = Overrides(),  # noqa: B008  (frozen; Prefect's form reads the default)
    vantage: str = "fleet",
    settings: list[str] = [],  # noqa: B006
    results: str = "results",
    reports: str = "reports",
    resume: str | None = None,
    skip_preflight: bool = False,
    report: bool = True,
) -> State[Any]:
    """Measure how long a whole fleet takes to get one image, and what the registry itself has to serve.

    Args:
        spec: Path of the spec file in the checkout, such as specs/fleet.yaml.
        scheduler: Address of the Dask scheduler whose workers stand on the nodes, such as tcp://10.0.0.1:8786.
        nodes: How many nodes pull at once; where they are more than the workers, each worker plays several.
        image: The image that all pull; empty takes the first of the spec.
        overrides: Factors to measure in place of the spec's; its concurrency is the number of nodes.
        vantage: Label of the place where the fleet stands.
        settings: Further changes to the spec as KEY=VALUE, such as repetitions=5.
        results: Folder or URL that the Parquet goes to.
        reports: Folder that the HTML report goes to.
        resume: Identifier of an incomplete run to go on with.
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
    )
    return measure(prepared_fleet(request, scheduler=scheduler, nodes=nodes, image=image, block=read_block))
