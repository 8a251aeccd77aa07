"""Numbers and lists for people: three significant digits and a unit; what is not known is a dash."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pullbench.model.text import format_bytes

NOT_KNOWN = "–"
PERCENTILES = (90, 95, 99)
_NAMED_AT_MOST = 3


def known(value: float | None) -> bool:
    """Whether there is a number at all."""
    return value is not None and not math.isnan(value)


def percentiles_known(cells: Iterable[Mapping[str, Any]]) -> list[int]:
    """The percentiles that have a value in some configuration: the others have no column."""
    rows = list(cells)
    return [q for q in PERCENTILES if any(known(row[f"p{q}_s"]) for row in rows)]


def significant(value: float, digits: int = 3) -> str:
    """A number of so many significant digits, never in powers of ten, with a minus sign where it is negative."""
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}".replace("-", "−")
    # 9.996 rounds up to 10.00, which has one digit too many.
    if decimals and sum(c.isdigit() for c in text.lstrip("−0.")) > digits:
        return f"{value:,.{decimals - 1}f}".replace("-", "−")
    return text


def seconds(value: float | None) -> str:
    """A duration: `391 ms`, `1.07 s`, `12 min 5 s`, `2 h 3 min`."""
    if value is None or math.isnan(value):
        return NOT_KNOWN
    if abs(value) < 0.000_999_5:
        return f"{significant(value * 1e6)} µs"
    if abs(value) < 0.999_5:
        return f"{significant(value * 1e3)} ms"
    if abs(value) < 119.5:
        return f"{significant(value)} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 120:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(value / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def seconds_range(low: float | None, high: float | None) -> str:
    """An interval in one unit: `380–402 ms`."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return NOT_KNOWN
    first, second = seconds(low), seconds(high)
    unit = second.rpartition(" ")[2]
    if first.rpartition(" ")[2] == unit and unit in ("µs", "ms", "s") and "min" not in second:
        return f"{first.rpartition(' ')[0]}–{second}"
    return f"{first} – {second}"


def rate(value: float | None) -> str:
    """Bytes a second: `96.1 MB/s`."""
    return NOT_KNOWN if value is None or math.isnan(value) else f"{format_bytes(value)}/s"


def plain(value: float | None) -> str:
    """A number without a unit, which the column's title has."""
    return NOT_KNOWN if value is None or math.isnan(value) else significant(value)


def nan_for_none(value: Any) -> float:
    """A number that may be missing as a float: NaN where it is."""
    try:
        return float(value)
    except TypeError:  # None and pandas' NA
        return math.nan


def megabytes(rate: float | None) -> str:
    """Bytes a second as MB/s, without the unit, which the column's title has."""
    return plain(None if rate is None else rate / 1e6)


def whole_percent(share: float | None) -> str:
    """A share in whole percent: `72%`."""
    return NOT_KNOWN if share is None or math.isnan(share) else f"{share:.0%}"


def size(value: float | None) -> str:
    """Bytes: `47.5 MB`."""
    return NOT_KNOWN if value is None or math.isnan(value) else format_bytes(value)


def ratio(value: float | None) -> str:
    """A factor: `2.41×`."""
    return NOT_KNOWN if value is None or math.isnan(value) else f"{significant(value)}×"


def ratio_range(low: float | None, high: float | None) -> str:
    """An interval of a factor: `2.31–2.52`."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return NOT_KNOWN
    return f"{significant(low)}–{significant(high)}"


def percent(share: float | None) -> str:
    """A share: `99.2%`; only what is whole is shown as 100%, and only nothing as 0%."""
    if share is None or math.isnan(share):
        return NOT_KNOWN
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    if not 0 < share < 1:
        return f"{significant(100 * share)}%"
    digits = next((d for d in range(1, 16) if 0 < float(f"{share:.{d + 2}f}") < 1), 16)
    return f"{100 * share:.{digits}f}%"


def p_value(value: float | None) -> str:
    """`0.012`, `< 0.001`; a dash where there is none."""
    if value is None or math.isnan(value):
        return NOT_KNOWN
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def sure(low: float | None, high: float | None, p: float | None) -> str:
    """How sure a ratio is: ` (CI 1.43–1.60, p < 0.001)`; nothing where neither is known."""
    span, chance = ratio_range(low, high), p_value(p)
    parts = [f"CI {span}"] if span != NOT_KNOWN else []
    if chance != NOT_KNOWN:
        parts.append(f"p {chance if chance.startswith('<') else f'= {chance}'}")
    return f" ({', '.join(parts)})" if parts else ""


def count(number: int, noun: str) -> str:
    """`1 pull`, `1,152 pulls`."""
    plural = noun if number == 1 else noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{number:,} {plural}"


def first_few(names: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    if len(names) > _NAMED_AT_MOST:
        return f"{', '.join(names[:_NAMED_AT_MOST])} and {len(names) - _NAMED_AT_MOST} more"
    return listed(names)


def listed(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
