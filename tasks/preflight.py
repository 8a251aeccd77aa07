"""The body of the flow `preflight`."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from prefect.client.schemas.objects import State

from pullbench.app.preflight import check, verdict
from pullbench.model.finding import Status
from pullbench.model.spec import Overrides
from tasks.artifacts import Artifacts
from tasks.states import done, ends_in_state, failed, incomplete


@ends_in_state
def check_spec(
    spec: Path, *, overrides: Overrides, only: Sequence[str], skip: Sequence[str], block: Callable[[str], str]
) -> State[Any]:
    """Run the checks. The findings are an artifact, and the state's message counts them."""
    checked = check(spec, overrides=overrides, only=only, skip=skip, environ=os.environ, block=block)
    Artifacts().findings(spec.stem, checked.findings)
    if checked.nothing_left is not None:
        raise checked.nothing_left
    status, sentence = verdict(checked.findings)
    return {Status.FAIL: failed, Status.ERROR: incomplete}.get(status, done)(sentence, checked)
