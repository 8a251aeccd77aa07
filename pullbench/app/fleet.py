"""What a fleet's benchmark makes of a spec: one image, as many pulls at once as there are nodes. Free of Prefect."""

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from pullbench.bench.fleet_session import refuse_stores
from pullbench.bench.specfile import load_spec
from pullbench.errors import MissingExtraError, UsageError
from pullbench.model.spec import Overrides


def fleet_settings(
    spec: Path, nodes: int, image: str | None, settings: Sequence[str], overrides: Overrides | None = None
) -> tuple[str, ...]:
    """The settings with those that make it a fleet's: every node pulls the image once, all at the same moment.

    Raises UsageError as `load_spec` does, for an engine that is none for a fleet, and where Dask is not installed.
    """
    if find_spec("prefect_dask") is None:
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
