"""Which bytes a Range header asks for (RFC 9110, section 14)."""

import re

_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)


class Unsatisfiable(Exception):  # noqa: N818  (RFC 9110's word)
    """No byte of the range exists: 416."""


def requested_range(header: str | None, size_bytes: int) -> tuple[int, int] | None:
    """(first, one past the last) of a single range; None where the whole is to be sent.

    Several ranges, another unit and what is no range at all are ignored, as section 14.2 allows.
    Raises Unsatisfiable.
    """
    found = _RANGE.fullmatch(header.replace(" ", "")) if header else None
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        first, end = max(0, size_bytes - int(found[2])), size_bytes
    else:
        first, end = int(found[1]), min(size_bytes, int(found[2]) + 1 if found[2] else size_bytes)
        if found[2] and int(found[2]) < first:
            return None
    if first >= end:
        raise Unsatisfiable
    return first, end
