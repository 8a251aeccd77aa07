"""Two runs as one picture: each common setting's ratio with its interval, the worst on top."""

import pandas as pd

from pullbench.report.core import numbers
from pullbench.report.core.stored import records
from pullbench.report.core.tables import label, varying
from pullbench.report.figures.forest import ratio_rows
from pullbench.report.figures.style import drawn, legend
from pullbench.report.render.html import Html
from pullbench.stats.compare import MARGIN

MOST_ROWS = 30
_UNPROVEN = 0
_GROUPS = (("slower", 5), ("faster", 2), ("not proven, or no difference", _UNPROVEN))


def ratios(cells: pd.DataFrame) -> Html:
    """A dot and an interval for each setting on a log axis, by falling ratio; right of 1× the candidate is slower."""
    known = cells[cells["ratio"].notna()].sort_values("ratio", ascending=False, kind="stable")
    if known.empty:
        return Html()
    # Where there are too many, those in the middle say least.
    ends = MOST_ROWS // 2
    shown = known if len(known) <= MOST_ROWS else pd.concat([known.head(ends), known.tail(ends)])
    factors = varying(cells) or ["engine"]
    names = [label(row, factors) for row in records(shown)]
    series = [dict(_GROUPS).get(str(verdict), _UNPROVEN) for verdict in shown["verdict"]]
    slower, faster = (int((known["verdict"] == verdict).sum()) for verdict in ("slower", "faster"))
    caption = (
        f"Right of 1× the candidate takes longer. Mark: ratio of the medians; line: its 95% interval; band: the "
        f"{MARGIN:.0%} within which a difference does not count. {slower} proven slower and {faster} faster of "
        f"{numbers.count(len(known), 'setting')}."
    )
    if len(shown) < len(known):
        caption += f" The {ends} highest and the {ends} lowest are drawn; the table has all."
    told = "; ".join(f"{name} {numbers.ratio(value)}" for name, value in zip(names, shown["ratio"], strict=True))
    return drawn(
        "ratios",
        "Candidate's time as a multiple of the baseline's",
        f"Dots with intervals: {told}.",
        caption,
        lambda sheet: ratio_rows(sheet, shown, names, series, label="candidate by baseline", margin=MARGIN),
        legend=legend(list(_GROUPS)),
    )
