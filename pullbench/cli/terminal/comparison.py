"""Stored runs beside each other, as tables of the shell."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from pullbench.cli.terminal.console import plain
from pullbench.cli.terminal.tables import RUN_ID_WIDTH, Fitting
from pullbench.report.compare.runs import ALIKE, FAILS_MORE
from pullbench.report.core import numbers
from pullbench.report.core.stored import records
from pullbench.report.core.tables import varying
from pullbench.report.trend.changes import Trend

_STYLES = {"slower": "bold red", "faster": "green", FAILS_MORE: "bold red", "fails_less": "green"}


def comparison_table(cells: pd.DataFrame) -> Fitting:
    """The cells that both runs have: times, ratio, interval, successes, verdict; words carry what colours show.

    On a narrow terminal the factors share one column.
    """
    factors = varying(cells) or ["engine"]
    return Fitting(_compared(cells, factors, together=False), lambda: _compared(cells, factors, together=True))


def _compared(cells: pd.DataFrame, factors: Sequence[str], *, together: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ["setting"] if together else factors:
        right = name == "concurrency"
        table.add_column(name.replace("_", " "), justify="right" if right else "left", overflow="fold")
    for title in ("baseline", "candidate", "ratio", "95% interval", "succeeded"):
        table.add_column(title, justify="right", no_wrap=not together, overflow="fold")
    table.add_column("verdict", no_wrap=not together, overflow="fold")
    for row in records(cells):
        named = [f"×{row[name]}" if together and name == "concurrency" else str(row[name]) for name in factors]
        table.add_row(
            *map(plain, [" ".join(named)] if together else named),
            numbers.seconds(row["baseline_s"]),
            numbers.seconds(row["candidate_s"]),
            numbers.ratio(row["ratio"]),
            numbers.ratio_range(row["low"], row["high"]),
            f"{row['baseline_succeeded']}/{row['baseline_pulls']} → {row['candidate_succeeded']}/{row['candidate_pulls']}",
            _verdict(row),
        )
    return table


def trend_table(found: Trend) -> Table:
    """A benchmark's runs, the oldest first, with the steps of the whole between them."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("run", no_wrap=True, min_width=RUN_ID_WIDTH)
    for title in ("started (UTC)", "quarter"):
        table.add_column(title, overflow="fold")
    for title in ("median", "95% interval", "succeeded"):
        table.add_column(title, justify="right", overflow="fold")
    table.add_column("", overflow="fold")
    whole = found.steps[found.steps["setting"] == ""]
    steps = {row["run_id"]: row for row in records(whole)}
    for row in records(found.runs):
        step = steps.get(row["run_id"])
        said = "" if step is None else f"{step['verdict']} from here on: {numbers.ratio(step['ratio'])}"
        table.add_row(
            plain(row["run_id"]),
            f"{row['started_at']:%Y-%m-%d %H:%M}",
            row["quarter"],
            numbers.seconds(row["level_s"]),
            numbers.seconds_range(row["level_low_s"], row["level_high_s"]),
            f"{row['succeeded']}/{row['pulls']}",
            Text(said, style="" if step is None else _STYLES[step["verdict"]]),
        )
    return table


def _verdict(row: dict[str, Any]) -> Text:
    words = [str(row["verdict"])] + ([row["success_verdict"]] if row["success_verdict"] != ALIKE else [])
    style = next((_STYLES[word] for word in reversed(words) if word in _STYLES), "dim")
    return Text(", ".join(word.replace("_", " ") for word in words), style=style)
