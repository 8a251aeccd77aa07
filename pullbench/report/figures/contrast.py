"""Comparisons as factors: how many times faster or slower one value of a factor is than another, with intervals."""

import pandas as pd

from pullbench.report.core import numbers
from pullbench.report.core.stored import records
from pullbench.report.figures.forest import ratio_rows
from pullbench.report.figures.style import drawn, legend
from pullbench.report.render.html import Html

MOST_ROWS = 24
LONGEST_LABEL = 52


def contrast(table: pd.DataFrame) -> Html:
    """A dot and an interval for each comparison on a log axis; left of 1× takes less time. Nothing without any."""
    rows = table[table["ratio"].notna()].head(MOST_ROWS)
    if rows.empty:
        return Html()
    names = [_name(row) for row in records(rows)]
    sure = rows[rows["verdict"].isin(["faster", "slower"])]
    factors = list(dict.fromkeys(rows["factor"]))
    series = [factors.index(factor) for factor in rows["factor"]]
    bounded = rows["low"].notna()
    caption = (
        "Left of 1× the first named takes less time than the second. Mark: geometric mean over blocks"
        f"{'; line: its 95% interval' if bounded.any() else ''}. For concurrency the time is that of the whole trial, "
        f"for all else that of a pull. {_proven(len(sure), len(rows))}"
    )
    if not bounded.all():
        caption += " A hollow mark has no interval, for its blocks are too few: it is no more than a hint."
    told = "; ".join(f"{name} {numbers.ratio(value)}" for name, value in zip(names, rows["ratio"], strict=True))
    return drawn(
        "contrast",
        "Time of one setting as a multiple of another's",
        f"Dots with intervals: {told}.",
        caption,
        lambda sheet: ratio_rows(sheet, rows, names, series, label="takes this many times as long"),
        legend=legend([(factor.replace("_", " "), index) for index, factor in enumerate(factors)]),
    )


def _proven(sure: int, rows: int) -> str:
    if rows == 1:
        return f"This comparison proves {'a' if sure else 'no'} difference."
    if sure == 0:
        return f"None of the {rows} comparisons proves a difference."
    some = f"All {rows}" if sure == rows else f"{sure} of the {rows}"
    return f"{some} comparisons {'proves' if sure == 1 else 'prove'} a difference."


def _name(row: dict[str, object]) -> str:
    within = f"  ({row['within']})" if row["within"] else ""
    at_once = " at once" if row["factor"] == "concurrency" else ""
    return f"{row['candidate']}{at_once} against {row['baseline']}{within}"[:LONGEST_LABEL]
