"""The flow `fleet-benchmark`: many nodes of a Dask cluster pull one image at the same moment."""

import functools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.pull_benchmark import invocation, measure
from pullbench.app.fleet import fleet_settings
from pullbench.app.run import Prepared, Request
from pullbench.bench.dask_fleet import DaskFleet
from pullbench.bench.fleet_session import FleetSession
from pullbench.errors import MissingExtraError, UsageError
from pullbench.model.spec import Overrides
from pullbench.serving.secrets import prefect_secret

_ANSWERS_WITHIN_S = 20


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

    def prepare() -> Prepared:
        fleet = cluster.enter_context(_joined(scheduler))
        shell = invocation()
        given = shell.settings if shell is not None else settings
        request = Request(
            spec=Path(spec),
            overrides=overrides,
            sets=fleet_settings(Path(spec), nodes, image, given, overrides),
            vantage=vantage,
            results=results,
            reports=Path(reports),
            resume=resume,
            skip_preflight=skip_preflight,
            report=report,
            log_json=None if shell is None else shell.log_json,
            kind="fleet",
        )
        return Prepared(request, block=prefect_secret, session=functools.partial(FleetSession, fleet=fleet))

    with ExitStack() as cluster:
        return measure(prepare)


@contextmanager
def _joined(scheduler: str) -> Iterator[DaskFleet]:
    """The cluster by prefect-dask's runner, while the flow runs; its workers need nothing of Prefect.

    Raises UsageError where the extra is not installed, or nothing answers at the address.
    """
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ImportError as error:
        raise MissingExtraError("fleet", "fleet") from error
    with ExitStack() as stack:
        try:
            client = stack.enter_context(
                DaskTaskRunner(address=scheduler, client_kwargs={"timeout": _ANSWERS_WITHIN_S})
            ).client
        except (OSError, ValueError) as error:
            raise UsageError(
                f"scheduler: {scheduler} does not answer as a Dask scheduler ({error}); `dask scheduler` starts one"
            ) from error
        yield DaskFleet(client)
