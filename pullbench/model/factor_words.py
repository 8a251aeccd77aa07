"""The factors of a configuration in words: one text for console, page, progress and Markdown. Free of pandas.

A run has two caches that can be cold or warm, the client's store (`cache`) and the mirror's (`proxy_cache`): each is named.
"""

from collections.abc import Mapping
from typing import Any

from pullbench.model.route import DIRECT

_TITLES = {"cache": "client cache", "proxy_cache": "mirror cache"}
_USUAL = {"proxy_cache": "any", "auth": "persisted"}
"""Values that a text leaves out: nothing was set."""


def factor_title(factor: str) -> str:
    """A factor over a column: `mirror cache`."""
    return _TITLES.get(factor, factor)


def factor_in_column(factor: str, row: Mapping[str, Any]) -> str:
    """What stands in a factor's column: `–` for the mirror cache of a route without a proxy."""
    return "–" if factor == "proxy_cache" and row["proxy"] == DIRECT else str(row[factor])


def factor_text(factor: str, value: object) -> str:
    """A value where no column names its factor: `concurrency 4`, `without a proxy`, `cold client cache`; empty for a usual one."""
    if _USUAL.get(factor) == value:
        return ""
    if factor == "proxy":
        return "without a proxy" if value == DIRECT else f"through {value}"
    if factor in _TITLES:
        return f"{value} {_TITLES[factor]}"
    return f"{factor} {value}" if factor in ("concurrency", "auth") else str(value)
