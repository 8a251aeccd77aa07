"""The flow `preflight`: is all that a spec names ready? The same code answers `pullbench preflight` without Prefect."""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from pullbench.model.spec import Overrides
from pullbench.serving.secrets import read_block
from tasks.form_fields import SpecFile
from tasks.preflight import check_spec
from tasks.run_name import named


@flow(name="preflight", flow_run_name=named("{spec}"), retries=0, persist_result=False)
def preflight(
    spec: SpecFile,
    overrides: Overrides = Overrides(),  # noqa: B008  (frozen; Prefect's form reads the default)
    only: list[str] = [],  # noqa: B006
    skip: list[str] = [],  # noqa: B006
) -> State[Any]:
    """Check every registry, proxy, image and platform of a spec, without any load.

    Args:
        spec: What to check. A spec of the project, or the path of another file in it.
        overrides: Values that replace those of the spec. Empty fields keep the spec's own.
        only: Identifiers of the checks to run. Empty runs all.
        skip: Identifiers of the checks to leave out.
    """
    return check_spec(Path(spec), overrides=overrides, only=only, skip=skip, block=read_block)
