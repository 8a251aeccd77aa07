"""Which share of a setting's pulls took how long at most: the tail that a median does not show."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from pullbench.report.core import numbers
from pullbench.report.figures import axes
from pullbench.report.figures.style import Sheet, bare, drawn, legend, series_style
from pullbench.report.render.html import Html
from pullbench.report.run.pulls import Spread

_LOG_FROM = 6
_DASHES = ("-", (0, (5.0, 1.5)), (0, (1.5, 1.0)), (0, (6.0, 1.5, 1.5, 1.5)))
_NAMED = 4


def ecdf(shown: Sequence[Spread], left_out: Sequence[str] = ()) -> Html:
    """A curve a setting, of the pulls that succeeded; nothing without one. The arguments are those of `spread.spreads`."""
    if not shown:
        return Html()
    widest = max(shown, key=lambda each: each.times_s[-1] / each.times_s[0])
    caption = (
        "The further right a curve, the slower; the flatter, the less alike its pulls. Of those that succeeded with "
        f"{widest.name} the slowest took {numbers.ratio(float(widest.times_s[-1] / widest.times_s[0]))} the time of the "
        f"fastest, {numbers.seconds(float(widest.times_s[-1]))} beside {numbers.seconds(float(widest.times_s[0]))}"
    )
    caption += ". Failed pulls are in no curve."
    if left_out:
        named = ", ".join(left_out[:_NAMED])
        more = f" and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
        caption += f" Drawn are settings evenly from the shortest median to the longest; not drawn: {named}{more}."
    told = "; ".join(
        f"{each.name}: {numbers.seconds(float(each.times_s[0]))} to {numbers.seconds(float(each.times_s[-1]))}, "
        f"{numbers.count(each.n, 'pull')}"
        for each in shown
    )
    return drawn(
        "spread",
        "Share of pulls that took no longer than a time",
        f"Rising curves from the fastest pull to the slowest: {told}.",
        caption,
        lambda sheet: _draw(sheet, shown),
        legend=legend([(f"{each.name} (n = {each.n:,})", index) for index, each in enumerate(shown)]),
    )


def _draw(sheet: Sheet, shown: Sequence[Spread]) -> Figure:
    figure = sheet.figure(2.7 if sheet.narrow else 2.9)
    ax = figure.subplots()
    low = min(float(each.times_s[0]) for each in shown)
    high = max(float(each.times_s[-1]) for each in shown)
    for index, each in enumerate(shown):
        colour, marker = series_style(index)
        every = max(1, len(each.times_s) // 5)
        ax.plot(
            [each.times_s[0], *each.times_s],
            [0, *each.shares],
            drawstyle="steps-post" if each.n == len(each.times_s) else "default",
            color=colour,
            linestyle=_DASHES[index % len(_DASHES)],
            linewidth=1.6,
            marker=marker,
            markersize=4,
            markevery=(index % every, every),
        )
    if low > 0 and high / low > _LOG_FROM:
        ax.set_xscale("log")
        ax.set_xlim(low * 0.9, high * 1.1)
        axes.logarithmic(ax.xaxis, low * 0.9, high * 1.1, axes.seconds_tick, most=4 if sheet.narrow else 9)
        ax.set_xlabel("time of a pull, log scale")
    else:
        ax.set_xlim(0, high * 1.04)
        axes.elapsed(ax.xaxis, high * 1.04, most=4 if sheet.narrow else 8)
        ax.set_xlabel("time of a pull")
    ax.set_ylim(0, 1.03)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
    bare(ax, grid_axis="both")
    ax.set_title("share of successful pulls")
    return figure
