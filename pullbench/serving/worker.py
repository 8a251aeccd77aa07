"""A Prefect worker for one pool, as a process that ends with `pullbench serve`, however that ends.

If its lifeline is cut while flow runs are under way, they get SIGTERM first: what they measured is marked and kept.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from typing import Any
from uuid import UUID

import psutil

from pullbench.serving.lifeline import follow_lifeline

_RUN_ENDS_WITHIN_S = 12.0
_SETTLED_WITHIN_S = 12.0
_LOOK_EVERY_S = 0.5


def runs_below(pid: int) -> dict[str, psutil.Process]:
    """The processes of flow runs below a worker, by the run's ID in Prefect."""
    try:
        below = psutil.Process(pid).children(recursive=False)
    except psutil.Error:
        return {}
    found = {}
    for process in below:
        try:
            run = process.environ().get("PREFECT__FLOW_RUN_ID")
        except psutil.Error:
            continue
        if run:
            found[run] = process
    return found


def stop_runs(pid: int, *, within_s: float) -> None:
    """Send SIGTERM to every flow run of a worker, each a process group of its own; then SIGKILL to those that are left."""
    groups = [process.pid for process in runs_below(pid).values()]
    for group in groups:
        _signal(group, signal.SIGTERM)
    until = time.monotonic() + within_s
    while any(_signal(group, 0) for group in groups) and time.monotonic() < until:
        time.sleep(0.1)
    for group in groups:
        _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> bool:
    """Whether there was a process to take it."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


async def keep_own_message(client: Any, flow_run: UUID, within_s: float = _SETTLED_WITHIN_S) -> None:
    """Put back what a cancelled run said of itself: Prefect's worker writes a message of its own over it."""
    from prefect.client.schemas.objects import State, StateType

    until = time.monotonic() + within_s
    while True:
        states = await client.read_flow_run_states(flow_run)
        cancelled = sorted(
            (each for each in states if each.type is StateType.CANCELLED), key=lambda each: each.timestamp
        )
        if len(cancelled) > 1 or not cancelled or time.monotonic() > until:
            break
        await asyncio.sleep(_LOOK_EVERY_S)
    if cancelled and cancelled[0].message != cancelled[-1].message:
        state = State[None](type=StateType.CANCELLED, message=cancelled[0].message)
        await client.set_flow_run_state(flow_run, state, force=True)


def work(pool: str, name: str) -> None:
    """Take flow runs from a pool until standard input ends."""
    import anyio
    import httpx
    from prefect.exceptions import PrefectException
    from prefect.workers.process import ProcessWorker

    class Worker(ProcessWorker):
        """Prefect's own, which leaves a cancelled run its message: the run_id, and how to resume."""

        async def run(self, flow_run: Any, *arguments: Any, **options: Any) -> Any:
            result = await super().run(flow_run, *arguments, **options)
            with contextlib.suppress(PrefectException, httpx.HTTPError):
                await keep_own_message(self.client, flow_run.id)
            return result

    def end() -> None:
        stop_runs(os.getpid(), within_s=_RUN_ENDS_WITHIN_S)
        os.kill(os.getpid(), signal.SIGINT)

    follow_lifeline(end)
    worker = Worker(work_pool_name=pool, name=name)
    try:
        anyio.run(worker.start)
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    work(sys.argv[1], sys.argv[2])
