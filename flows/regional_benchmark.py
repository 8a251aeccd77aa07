"""The flow `regional-benchmark`: one spec from every vantage, and one report, region × region."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from pullbench.app.regional import RegionalOutcome, RegionalRequest, conduct_regional
from pullbench.cli.terminal.safe_text import printable
from pullbench.engines.base import SystemClock
from pullbench.errors import IncompleteError, PullbenchError
from pullbench.model.spec import Overrides
from pullbench.serving.vantages import PrefectVantages
from tasks.artifacts import Artifacts


class RegionalInvocation:
    """What the shell hands to a flow that it calls in its own process; and gets back."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self.note = note
        self.outcome: RegionalOutcome | None = None
        self.error: Exception | None = None


_INVOCATION: ContextVar[RegionalInvocation | None] = ContextVar("regional_invocation", default=None)


@contextmanager
def invoked_by(invocation: RegionalInvocation) -> Iterator[None]:
    """The flow called inside leaves its outcome there."""
    token = _INVOCATION.set(invocation)
    try:
        yield
    finally:
        _INVOCATION.reset(token)


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
    return _ask(request, _INVOCATION.get())


def _ask(request: RegionalRequest, invocation: RegionalInvocation | None) -> State[Any]:
    logger = get_run_logger()

    def note(text: str) -> None:
        logger.info(printable(text))
        if invocation is not None:
            invocation.note(text)

    try:
        with get_client(sync_client=True) as client:
            outcome = conduct_regional(request, PrefectVantages(client), clock=SystemClock(), note=note)
    except PullbenchError as error:
        if invocation is not None:
            invocation.error = error
        return Failed(name="Incomplete" if isinstance(error, IncompleteError) else None, message=str(error))
    except Exception as error:
        if invocation is not None:
            invocation.error = error
        raise
    if invocation is not None:
        invocation.outcome = outcome
    artifacts = Artifacts()
    artifacts.vantages(outcome.document)
    artifacts.report(outcome.report, os.environ.get("PULLBENCH_REPORTS_URL"), outcome.message)
    if outcome.exit_code == IncompleteError.exit_code:
        return Failed(name="Incomplete", message=outcome.message)
    return Completed(message=outcome.message)
