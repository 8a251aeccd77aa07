"""The flow `regional-benchmark`: one spec from every vantage, and one report, region × region."""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State

from pullbench.app.regional import RegionalRequest
from pullbench.model.spec import Overrides
from pullbench.serving.vantages import PrefectVantages
from tasks.form_fields import HiddenText, SpecFile
from tasks.regional import measure_everywhere
from tasks.run_name import named


@flow(name="regional-benchmark", flow_run_name=named("{spec} from every vantage"), retries=0, persist_result=False)
def regional_benchmark(
    spec: SpecFile,
    vantages: list[str] = [],  # noqa: B006  (Prefect's form reads the default; nothing changes it)
    overrides: Overrides = Overrides(),  # noqa: B008
    settings: list[str] = [],  # noqa: B006
    in_turn: bool = False,
    start_within_minutes: float = 10.0,
    finish_within_minutes: float = 240.0,
    results: HiddenText = "results",
    reports: HiddenText = "reports",
) -> State[Any]:
    """Measure the same spec from several regions, and report how fast each registry is from each region.

    Args:
        spec: What to measure. The file has to be in the project of every vantage.
        vantages: Names of pull-benchmark's deployments. Empty takes each that has the tag vantage.
        overrides: Values that replace those of the spec and of the vantages. Empty fields keep theirs.
        settings: Further changes to the spec as KEY=VALUE, such as budget.minutes=10.
        in_turn: One vantage after the other, so that none feels another's load. Otherwise all at the same time.
        start_within_minutes: How long to wait for a vantage to start. After that its run is cancelled.
        finish_within_minutes: How long to wait for a vantage to end.
        results: URL or directory that every vantage writes to and this flow reads.
        reports: Directory that the HTML report goes to.
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
