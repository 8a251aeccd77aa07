"""Axes whose ticks read like the report's numbers."""

import math
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

_NEAR_ONE = (0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)
_STEPS = ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))


def logarithmic(axis: Axis, low: float, high: float, text: Callable[[float], str], *, most: int = 9) -> None:
    """A log axis from `low` to `high` (both positive): ticks at 1, 2, 5, or fewer where those are more than `most`."""
    first, last = math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1
    for steps in _STEPS:
        ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) <= most:
            break
    _set(axis, inside if len(inside) > 1 else _even(low, high), text)


def doublings(axis: Axis, low: float, high: float) -> None:
    """A log axis of factors: `¼×`, `½×`, `1×`, `2×`; finer or coarser where it spans under two or over six."""
    if high / low > 64:
        logarithmic(axis, low, high, ratio_tick)
        return
    if high / low < 4:
        _set(axis, [tick for tick in _NEAR_ONE if low <= tick <= high], ratio_tick)
        return
    powers = range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)
    _set(axis, [2.0**power for power in powers], ratio_tick)


def elapsed(axis: Axis, high_s: float, *, most: int = 8) -> None:
    """A linear axis of time since a start, in whole seconds, minutes or hours; at most so many steps."""
    steps = (0.001, 0.01, 0.1, 1, 10, 60, 600, 3_600, 36_000, 360_000)
    unit = max((step for step in steps if step * 2 <= high_s), default=steps[0])
    step = next(unit * times for times in (0.2, 0.5, 1, 2, 5, 10, 20) if high_s / (unit * times) <= most)
    _set(axis, [step * index for index in range(int(high_s / step) + 1)], _elapsed_tick)


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


def _elapsed_tick(value: float) -> str:
    if value == 0:
        return "0"
    if value >= 7_200 and value % 360 == 0:
        return f"{value / 3_600:g} h"
    return f"{value / 60:g} min" if value >= 60 and value % 60 == 0 else seconds_tick(value)


def ratio_tick(value: float) -> str:
    """`2×`, and `½×` for a half."""
    named = {0.5: "½", 0.25: "¼", 0.125: "⅛"}
    return f"{named.get(value, f'{value:g}')}×"


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
