"""A fleet's benchmark: one image, pulled by every node of a Dask cluster at the same moment."""

import dataclasses
import functools
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from pullbench.app.run import Prepared, RunRequest
from pullbench.bench.dask_fleet import joined
from pullbench.bench.fleet_run import FleetRun, FleetWorkbench, refuse_stores
from pullbench.bench.specfile import Changes, LoadedSpec, load_spec
from pullbench.errors import MissingExtraError, UsageError

_log = logging.getLogger(__name__)


def fleet_settings(
    spec: Path, nodes: int, image: str | None, settings: Sequence[str], overrides: Changes | None = None
) -> tuple[str, ...]:
    """The settings with those that make it a fleet's: every node pulls the image once, all at the same moment.

    Raises UsageError as `load_spec` does, for an engine that is none for a fleet, and where Dask is not installed.
    """
    if find_spec("distributed") is None:
        raise MissingExtraError("fleet", "fleet")
    if nodes < 1:
        raise UsageError(f"nodes: {nodes} is too few: at least 1")
    given = load_spec(spec, sets=settings, overrides=overrides).spec
    refuse_stores(given)
    chosen = image or given.images[0]
    return (
        *settings,
        f"images={json.dumps([chosen])}",
        f"matrix.concurrency=[{nodes}]",
        f"pulls_per_trial={nodes}",
        "load={mode: closed}",
    )


@contextmanager
def prepared_fleet(
    request: RunRequest,
    *,
    scheduler: str,
    nodes: int,
    image: str | None,
    block: Callable[[str], str] | None = None,
    warn: Callable[[str], None] = _log.warning,
) -> Iterator[Prepared]:
    """The cluster while it is needed, and a run of the spec on it.

    Raises UsageError for a wrong spec before the cluster is contacted, then where no scheduler answers.
    """
    if isinstance(request.spec, LoadedSpec):
        raise ValueError("a fleet changes its spec: give the path of one")
    settings = fleet_settings(request.spec, nodes, image, request.sets, request.overrides)
    made = dataclasses.replace(request, sets=settings, kind="fleet")
    with (
        joined(scheduler) as fleet,
        Prepared(
            made,
            block=block,
            bench=functools.partial(FleetWorkbench, fleet=fleet),
            run_type=FleetRun,
            warn=warn,
        ) as prepared,
    ):
        yield prepared
