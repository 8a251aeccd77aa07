"""What a registry's headers say of its rate limit. Pure.

Three dialects: Docker Hub's `ratelimit-limit: 100;w=21600` (Docker's page "Pull usage and limits"), `x-ratelimit-*` of
many gateways, and the IETF's `RateLimit: "name";r=50;t=30` with `RateLimit-Policy: "name";q=100;w=60`
(draft-ietf-httpapi-ratelimit-headers).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pullbench.registry.answer import retry_after_s

_NUMBER = re.compile(r"\s*(\d{1,12})(?!\d)")
_WINDOW = re.compile(r";\s*w=(\d{1,9})(?!\d)")
_MAX_RESET_S = 7 * 86_400
HEADERS = frozenset(
    {
        *(f"{prefix}ratelimit-{name}" for prefix in ("", "x-") for name in ("limit", "remaining", "reset")),
        *("ratelimit", "ratelimit-policy", "retry-after", "docker-ratelimit-source"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What is allowed in a window, and what is left of it; None where it is not said."""

    limit: int | None = None
    remaining: int | None = None
    window_s: float | None = None
    reset_s: float | None = None
    """Until what is left is counted anew."""


def read_limit(headers: Mapping[str, str], now: datetime) -> Limit | None:
    """The limit that an answer's headers (lower-case names) state; None where they state none."""
    policy = headers.get("ratelimit-policy", "")
    fields = headers.get("ratelimit", "")
    limit_text = headers.get("ratelimit-limit") or headers.get("x-ratelimit-limit") or ""
    remaining_text = headers.get("ratelimit-remaining") or headers.get("x-ratelimit-remaining") or ""
    window = _WINDOW.search(limit_text) or _WINDOW.search(remaining_text) or _WINDOW.search(policy)
    found = Limit(
        limit=_first(_number(limit_text), _parameter(policy, "q"), _parameter(fields, "limit")),
        remaining=_first(_number(remaining_text), _parameter(fields, "r"), _parameter(fields, "remaining")),
        window_s=float(window[1]) if window else None,
        reset_s=_reset_s(headers, fields, now),
    )
    return None if found.limit is None and found.remaining is None else found


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _number(text: str) -> int | None:
    found = _NUMBER.match(text)
    return int(found[1]) if found else None


def _parameter(text: str, name: str) -> int | None:
    found = re.search(rf"(?:^|[;,\s]){name}=(\d{{1,12}})(?!\d)", text)
    return int(found[1]) if found else None


def _reset_s(headers: Mapping[str, str], fields: str, now: datetime) -> float | None:
    """Seconds, or the instant since 1970 as some gateways have it."""
    text = headers.get("ratelimit-reset") or headers.get("x-ratelimit-reset") or ""
    stated = _first(_number(text), _parameter(fields, "t"), _parameter(fields, "reset"))
    if stated is None:
        return retry_after_s(headers.get("retry-after"), now)
    seconds = float(stated)
    if seconds > 1e9:
        seconds -= now.timestamp()
    return seconds if 0 <= seconds <= _MAX_RESET_S else None
