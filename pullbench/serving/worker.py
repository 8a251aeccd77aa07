"""A Prefect worker for one pool, as a process that ends with `pullbench serve`, however that ends.

Where its lifeline is cut while flow runs are under way, they get SIGTERM first: what they measured is marked and kept.
"""

import os
import signal
import sys
import time

import psutil

from pullbench.serving.lifeline import follow_lifeline

_RUN_ENDS_WITHIN_S = 12.0
_LEAVES_WITHIN_S = 20.0


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
    """SIGTERM to every flow run below a worker, each a process group of its own; SIGKILL to what is left in the end."""
    groups = [process.pid for process in runs_below(pid).values()]
    for group in groups:
        _signal(group, signal.SIGTERM)
    until = time.monotonic() + within_s
    while any(_signal(group, 0) for group in groups) and time.monotonic() < until:
        time.sleep(0.1)
    for group in groups:
        _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> bool:
    """Whether there was anybody to take it."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def work(pool: str, name: str) -> None:
    """Take flow runs from a pool until standard input ends."""
    import anyio
    from prefect.workers.process import ProcessWorker

    def end() -> None:
        stop_runs(os.getpid(), within_s=_RUN_ENDS_WITHIN_S)
        os.kill(os.getpid(), signal.SIGINT)

    follow_lifeline(end)
    worker = ProcessWorker(work_pool_name=pool, name=name)
    try:
        anyio.run(worker.start)
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    work(sys.argv[1], sys.argv[2])
