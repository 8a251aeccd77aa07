"""The flow `preflight`: is what a spec names ready? The same code answers `pullbench preflight` without Prefect."""

from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from pullbench.model.spec import Overrides
from pullbench.serving.secrets import read_block
from tasks.preflight import check_spec


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
    return check_spec(Path(spec), overrides=overrides, only=only, skip=skip, block=read_block)
