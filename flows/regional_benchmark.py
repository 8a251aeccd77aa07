"""The flow `regional-benchmark`: one spec from every vantage, and one report, region × region."""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State

from pullbench.app.regional import RegionalRequest
from pullbench.model.spec import Overrides
from pullbench.serving.vantages import PrefectVantages
from tasks.regional import measure_everywhere


@flow(name="regional-benchmark", flow_run_name="{spec} from everywhere", retries=0, persist_result=False)
def regional_benchmark(
    spec: str,
    vantages: list[str] = [],  # noqa: B006  (Prefect's form reads the default; nothing changes it)
    overrides: Overrides = Overrides(),  # noqa: B008
    settings: list[str] = [],  # noqa: B006
    in_turn: bool = False,
    start_within_minutes: float = 10.0,
    finish_within_minutes: float = 240.0,
    results: str = "results",
    reports: str = "reports",
) -> State[Any]:
    """Measure the same spec from several regions, and report what each sees of each registry.

    Args:
        spec: Path of the spec file in the checkout of every vantage, such as specs/regions.yaml.
        vantages: Names of pull-benchmark's deployments to ask; empty asks each that has the tag vantage.
        overrides: Factors to measure in place of the spec's and of the vantages' own; empty leaves them.
        settings: Further changes to the spec as KEY=VALUE, such as budget.minutes=10.
        in_turn: One vantage after the other, so that none feels another's load; else all at once.
        start_within_minutes: How long to wait for a vantage to start; its run is then cancelled.
        finish_within_minutes: How long to wait for a vantage to end.
        results: URL or folder that every vantage writes to and this flow reads.
        reports: Folder that the HTML report goes to.
    """
    request = RegionalRequest(
        spec=Path(spec),
        vantages=tuple(vantages),
        overrides=overrides,
        sets=tuple(settings),
        in_turn=in_turn,
        start_within_minutes=start_within_minutes,
        finish_within_minutes=finish_within_minutes,
        results=results,
        reports=Path(reports),
    )
    with get_client(sync_client=True) as client:
        return measure_everywhere(request, PrefectVantages(client))
