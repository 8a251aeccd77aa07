"""Evidence whether a mirror had the requested content: headers, bytes that left its upstream, and ages. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pullbench.model.record import ProxyCacheFound, Transfer

_PART = re.compile(r'([a-z][a-z-]*)[= ](?:"([^"]*)"|(\S+))')
_STATES = ("x-cache", "x-cache-status", "x-proxy-cache", "cf-cache-status")
_HAD_IT = ("HIT", "STALE", "UPDATING", "REVALIDATED")
_FETCHED_IT = ("MISS", "EXPIRED", "BYPASS", "DYNAMIC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """The answer to one request of a probe: `served_by` as in the results, `at_s` on the monotonic clock."""

    served_by: str
    at_s: float


def cache_word(served_by: str | None) -> Literal["hit", "miss"] | None:
    """Whether the caches on the route report a hit or a miss; None if they report neither.

    One hit of several caches is enough. An Age without other headers also means a hit (RFC 9111, section 5.1).
    """
    parts = _parts(served_by)
    said = " ".join(parts.get(name, "") for name in _STATES).upper()
    if any(word in said for word in _HAD_IT) or parts.get("x-dragonfly-task-download-finished") == "true":
        return "hit"
    if any(word in said for word in _FETCHED_IT) or "x-dragonfly-task-download-finished" in parts:
        return "miss"
    return "hit" if "age" in parts else None


def found_by_headers(transfers: Iterable[Transfer]) -> ProxyCacheFound | None:
    """From a trial's own layers: the first answer for each counts, because the mirror has the layer afterwards."""
    first: dict[str, str] = {}
    for row in sorted(transfers, key=lambda each: each.started_at):
        word = cache_word(row.served_by)
        if row.kind == "layer" and row.digest is not None and row.error_code is None and word is not None:
            first.setdefault(row.digest, word)
    return _of_words(first.values())


def found_by_upstream(served_bytes: int, expected_bytes: int) -> ProxyCacheFound | None:
    """From the blob bytes that the upstream served meanwhile, to any client; None if none are expected."""
    if expected_bytes == 0:
        return None
    if served_bytes <= 0:
        return "warm"
    return "cold" if served_bytes >= expected_bytes else "mixed"


def found_by_probe(before: Sequence[Sighting], after: Sequence[Sighting], started_s: float) -> ProxyCacheFound | None:
    """From requests for the trial's layers before it, if that was allowed, else from requests after it.

    Content that the mirror lacks after a trial it never had. Content that it has, it got during the trial if its age shows it.
    """
    words = [word for each in before if (word := cache_word(each.served_by)) is not None]
    if not words:
        words = [word for each in after if (word := _before_the_trial(each, started_s)) is not None]
    return _of_words(words)


def _before_the_trial(seen: Sighting, started_s: float) -> Literal["hit", "miss"] | None:
    if cache_word(seen.served_by) == "miss":
        return "miss"
    age = _parts(seen.served_by).get("age", "")
    if not age.isdecimal():
        return None
    # Ages are whole seconds: content as old as the trial may have come with its first pull.
    return "miss" if int(age) <= seen.at_s - started_s + 1 else "hit"


def _of_words(words: Iterable[str]) -> ProxyCacheFound | None:
    said = set(words)
    if not said:
        return None
    return "mixed" if len(said) > 1 else "warm" if said == {"hit"} else "cold"


def _parts(served_by: str | None) -> dict[str, str]:
    """`x-cache=HIT age=3` by name; the first word is an address, and `via` is free text."""
    return {name: quoted or plain for name, quoted, plain in _PART.findall((served_by or "").partition(" ")[2])}
