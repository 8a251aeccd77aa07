"""The flow `preflight`: is what a spec names ready? The same code answers `pullbench preflight` without Prefect."""

import os
from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from pullbench.app.preflight import check, verdict
from pullbench.errors import PullbenchError
from pullbench.model.finding import Status
from pullbench.model.spec import Overrides
from pullbench.serving.secrets import prefect_secret
from tasks.artifacts import Artifacts


@flow(name="preflight", flow_run_name="{spec}", retries=0, persist_result=False)
def preflight(
    spec: Annotated[str, Field(min_length=1)],
    overrides: Overrides = Overrides(),  # noqa: B008  (frozen; Prefect's form reads the default)
    only: list[str] = [],  # noqa: B006
    skip: list[str] = [],  # noqa: B006
) -> State[Any]:
    """Check every registry, proxy, image and platform of a spec, without any load.

    Args:
        spec: Path of the spec file in the checkout, such as specs/first.yaml.
        overrides: Factors to check in place of the spec's.
        only: Identifiers of the checks to run; empty runs all.
        skip: Identifiers of the checks to leave out.
    """
    try:
        checked = check(Path(spec), overrides=overrides, only=only, skip=skip, environ=os.environ, block=prefect_secret)
    except PullbenchError as error:
        return Failed(message=str(error))
    Artifacts().findings(checked.findings)
    status, sentence = verdict(checked.findings)
    if status is Status.FAIL:
        return Failed(message=sentence)
    if status is Status.ERROR:
        return Failed(name="Incomplete", message=sentence)
    return Completed(message=sentence)
