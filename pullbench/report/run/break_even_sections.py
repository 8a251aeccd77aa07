"""The report's section about what a pull-through cache costs and saves."""

import pandas as pd

from pullbench.report.core import numbers
from pullbench.report.core.stored import records
from pullbench.report.core.tables import varying
from pullbench.report.render.html import Column, Html, Row, join, marked, paragraph, table
from pullbench.report.run.break_even import named

MOST_ROWS = 24


def payback(found: pd.DataFrame) -> Html:
    """A row a setting whose break-even was asked for, and what matrix would tell of the others; nothing without a mirror."""
    if found.empty:
        return Html()
    asked = found[found["verdict"] != "not_measured"]
    silent = found[found["verdict"] == "not_measured"]
    notes = [
        paragraph(marked(f"After how many pulls {', '.join(dict.fromkeys(mine['proxy']))} pays {says}."), kind="note")
        for says, mine in silent.groupby("says", sort=False)
    ]
    if asked.empty:
        return join(notes)
    factors = varying(asked) or ["proxy"]
    columns = [
        Column(title="Setting", setting=True),
        Column(title="Cold", number=True, hint="a pull of an image that the cache has never seen; mean over blocks"),
        Column(title="Warm", number=True, hint="a pull of one that it has"),
        Column(title="Direct", number=True, hint="the same past the cache"),
        Column(title="Pays after", number=True, hint="pulls of one image: (cold - warm) / (direct - warm)"),
        Column(title="95% interval", number=True, hint="Fieller's, over blocks"),
        Column(title="What it says", prose=True),
    ]
    rows = [
        Row(
            contents=[
                named(row, factors),
                *(numbers.seconds(row[name]) for name in ("cold_s", "warm_s", "direct_s")),
                _pulls(row["pulls"]),
                numbers.ratio_range(row["low"], row["high"]),
                row["says"],
            ]
        )
        for row in records(asked.head(MOST_ROWS))
    ]
    left = f"; {len(asked) - len(rows)} more are in `pullbench show --json`" if len(asked) > len(rows) else ""
    return join([table(columns, rows, caption=f"After how many pulls of an image a cache pays{left}"), *notes])


def _pulls(value: float) -> str:
    return numbers.significant(value) if numbers.known(value) else numbers.NOT_KNOWN
