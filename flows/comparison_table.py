"""Two runs side by side, as a table of the shell."""

from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from flows.console import plain
from pullbench.report import numbers
from pullbench.report.comparison import ALIKE, FAILS_MORE
from pullbench.report.stored import records
from pullbench.report.tables import varying

_STYLES = {"slower": "bold red", "faster": "green", FAILS_MORE: "bold red", "fails_less": "green"}


def comparison_table(cells: pd.DataFrame) -> Table:
    """The cells that both runs have: times, ratio, interval, successes, verdict; words carry what colours show."""
    factors = varying(cells) or ["engine"]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in factors:
        table.add_column(name.replace("_", " "), justify="right" if name == "concurrency" else "left")
    for title in ("baseline", "candidate", "ratio", "95% interval", "succeeded"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in records(cells):
        low, high = row["low"], row["high"]
        table.add_row(
            *(plain(row[name]) for name in factors),
            numbers.seconds(row["baseline_s"]),
            numbers.seconds(row["candidate_s"]),
            numbers.ratio(row["ratio"]),
            numbers.ratio_range(low, high),
            f"{row['baseline_succeeded']}/{row['baseline_pulls']} → {row['candidate_succeeded']}/{row['candidate_pulls']}",
            _verdict(row),
        )
    return table


def _verdict(row: dict[str, Any]) -> Text:
    words = [str(row["verdict"])] + ([row["success_verdict"]] if row["success_verdict"] != ALIKE else [])
    style = next((_STYLES[word] for word in reversed(words) if word in _STYLES), "dim")
    return Text(", ".join(word.replace("_", " ") for word in words), style=style)
