"""Prefect Secrets as a source of credentials: `block:NAME` in a spec."""

import json
from typing import Any, cast

from pullbench.errors import UsageError


def read_block(name: str) -> str:
    """The value of a Prefect Secret block, as text; raises UsageError that names the block, never its value."""
    from prefect.blocks.system import Secret

    try:
        value = cast(Secret[Any], Secret.load(name)).get()
    except ValueError as error:
        raise UsageError(
            f"credentials: block:{name}: there is no such Prefect Secret; create it in the UI under Blocks"
        ) from error
    return value if isinstance(value, str) else json.dumps(value)
