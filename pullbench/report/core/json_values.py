"""Values of frames as JSON has them: null for what is not known."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from pullbench.report.core.stored import records


def plain_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame's rows as JSON values."""
    return [plain_row(row) for row in records(frame)]


def plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """One row as JSON values."""
    return {name: plain(value) for name, value in row.items()}


def plain(value: Any) -> Any:
    """A value of a frame as JSON has it."""
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value
