"""Axes whose ticks read like the report's numbers."""

import math
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from pullbench.report import numbers

_STEPS = {1: (1.0, 2.0, 5.0), 2: (1.0, 3.0), 3: (1.0,)}


def logarithmic(axis: Axis, low: float, high: float, text: Callable[[float], str]) -> None:
    """A log axis from `low` to `high` (both positive), with ticks at 1, 2, 5 (or fewer where it spans more)."""
    decades = math.log10(high / low)
    steps = _STEPS[1 if decades < 2.2 else 2 if decades < 4 else 3]
    first, last = math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1
    ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    inside = [tick for tick in ticks if low <= tick <= high]
    _set(axis, inside if len(inside) > 1 else _even(low, high), text)


def linear(axis: Axis, text: Callable[[float], str]) -> None:
    """A linear axis whose ticks carry units."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value) if value else "0"))


def doubling(axis: Axis, values: Sequence[int]) -> None:
    """A log axis whose ticks are just the values measured."""
    _set(axis, list(values), lambda value: f"{value:g}")


def seconds_tick(value: float) -> str:
    """`200 ms`, `1 s`, `2 min`: as short as a tick must be."""
    if value < 0.001:
        return f"{value * 1e6:g} µs"
    if value < 1:
        return f"{float(f'{value * 1e3:.4g}'):g} ms"
    return f"{float(f'{value:.4g}'):g} s" if value < 120 else f"{value / 60:.3g} min"


def rate_tick(value: float) -> str:
    """`40 MB/s`."""
    for unit, size in (("GB/s", 1e9), ("MB/s", 1e6), ("kB/s", 1e3)):
        if value >= size:
            return f"{float(f'{value / size:.4g}'):g} {unit}"
    return f"{value:g} B/s"


def ratio_tick(value: float) -> str:
    """`2×`, and `½` for a half."""
    return {0.5: "½×", 0.2: "⅕×", 1.0: "1×"}.get(
        round(value, 6), f"{numbers.significant(value).rstrip('0').rstrip('.')}×"
    )


def headroom(ax: Axes, top: float) -> None:
    """From zero to a little over the highest value."""
    ax.set_ylim(0, top * 1.08 if top > 0 else 1)


def _even(low: float, high: float) -> list[float]:
    """Four ticks for an axis too short for powers, rounded to two digits."""
    return sorted({float(f"{low * (high / low) ** (part / 3):.2g}") for part in range(4)})


def _set(axis: Axis, ticks: Sequence[float], text: Callable[[float], str]) -> None:
    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
