"""Vantages in Prefect: deployments of `pull-benchmark` with the tag `vantage`, each on the work pool of its region."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowFilter,
    FlowFilterName,
)
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.states import Cancelling

from pullbench.app.regional import FlowRunState, Vantage
from pullbench.errors import IncompleteError, UsageError

FLOW = "pull-benchmark"
TAG = "vantage"
_NOT_TAKEN = "SCHEDULED"
"""The state of a run that no worker has taken: a worker sets it to pending, before the process starts."""
_HOW = (
    f"`prefect deploy flows/pull_benchmark.py:pull_benchmark --name eu --pool eu --tag {TAG}` creates one on the work pool 'eu' "
    "(docs/vantages.md)"
)


class PrefectVantages:
    """Starts deployments through a Prefect server, and follows their runs."""

    def __init__(self, client: SyncPrefectClient) -> None:
        self._client = client

    def places(self, names: Sequence[str]) -> list[Vantage]:
        """The vantages of these names, which are those of deployments; without names, every deployment with the tag."""
        there = {entry.name: entry for entry in self._deployments(tagged=not names)}
        if not there:
            raise UsageError(f"no deployment of '{FLOW}' has the tag '{TAG}', so there is no vantage: {_HOW}")
        for name in names:
            if name not in there:
                raise UsageError(
                    f"vantage '{name}': no deployment '{FLOW}/{name}'; there are: {', '.join(sorted(there))}; {_HOW}"
                )
        chosen = list(dict.fromkeys(names)) or sorted(there)
        return [Vantage(vantage=name, work_pool=there[name].work_pool_name or "") for name in chosen]

    def start(self, place: Vantage, regional_id: str, parameters: Mapping[str, Any]) -> str:
        """Start one flow run, however often this is called: its key is that of benchmark and vantage."""
        try:
            made: Any = run_deployment(
                f"{FLOW}/{place.vantage}",
                parameters=dict(parameters),
                timeout=0,
                idempotency_key=f"regional:{regional_id}:{place.vantage}",
                tags=["regional"],
            )
        except (PrefectException, httpx.HTTPError) as error:
            raise IncompleteError(f"its run could not be started: {type(error).__name__}: {error}") from error
        return str(made.id)

    def look(self, flow_run: str) -> FlowRunState | None:
        """The run's state; None if the server does not answer now, to be asked again later."""
        try:
            state = self._client.read_flow_run(UUID(flow_run)).state
        except ObjectNotFound:
            return FlowRunState(started=True, ended=True, state="DELETED", message="its flow run was deleted")
        except httpx.HTTPError:
            return None
        if state is None:
            return None
        kind = state.type.value
        return FlowRunState(started=kind != _NOT_TAKEN, ended=state.is_final(), state=kind, message=state.message or "")

    def cancel(self, flow_run: str) -> None:
        """Best effort: a run that no worker has taken is cancelled immediately, a running one by its worker."""
        try:
            self._client.set_flow_run_state(UUID(flow_run), Cancelling(message="The regional benchmark cancelled it."))
        except (PrefectException, httpx.HTTPError):
            return

    def idle(self, place: Vantage) -> str:
        """The last sign of life of a worker of its pool, in a few words."""
        try:
            workers = self._client.read_workers_for_work_pool(place.work_pool)
        except (PrefectException, httpx.HTTPError):
            return f"work pool '{place.work_pool}' cannot be read"
        heard = [worker.last_heartbeat_time for worker in workers if worker.last_heartbeat_time is not None]
        if not heard:
            return f"work pool '{place.work_pool}' never had a worker"
        return f"the last heartbeat of a worker of pool '{place.work_pool}' was at {max(heard):%H:%M:%S} UTC"

    def _deployments(self, *, tagged: bool) -> list[DeploymentResponse]:
        wanted = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG])) if tagged else None
        return self._client.read_deployments(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[FLOW])), deployment_filter=wanted, limit=200
        )
