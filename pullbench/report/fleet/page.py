"""The page of a fleet benchmark, section by section. It formats the results of `times`, and computes no number."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import pandas as pd

from pullbench.report.core import numbers, sections, tables
from pullbench.report.core.client_limit import is_limited
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.core.verdict_box import verdict_box
from pullbench.report.figures import pulls
from pullbench.report.fleet import times
from pullbench.report.fleet.times import summary
from pullbench.report.render.html import Column, Html, Row, join, marked, paragraph, style, table, tag
from pullbench.report.run.verdicts import judged
from pullbench.stats.compare import ComparisonVerdict

_MOST_NODES = 10
_LATE_SHARE = 0.1
"""A start spread over more than this share of the time to the first node is marked."""


class FleetPage:
    """The report of many nodes that pull one image at the same moment; `table` is a frame of its configurations for your own analysis."""

    def __init__(self, stored: StoredRun) -> None:
        self.stored = stored

    @cached_property
    def table(self) -> pd.DataFrame:
        """Every configuration: the times of the first, half and last node, and what the registry served."""
        return times.cells(self.stored)

    def style(self) -> Html:
        """The style sheet, for a notebook that is opened in Jupyter."""
        return style()

    def header(self) -> Html:
        """Title, verdict and the facts of the run."""
        stored, cells = self.stored, self.table
        run = stored.run
        failed = int((cells["pulls"] - cells["succeeded"]).sum()) if len(cells) else 0
        whole = len(stored.trials) >= run.trials_planned
        verdict = judged(stored)
        bad = cells.empty or not cells["succeeded"].sum() or (verdict is not None and verdict.status == "missed")
        kind = "bad" if bad else "warn" if failed or not whole or (verdict and verdict.status == "partly") else "good"
        members = stored.environment.get("fleet") or {}
        facts = [
            f"{run.started_at:%d %B %Y, %H:%M} UTC".lstrip("0"),
            f"{numbers.count(int(cells['nodes'].max()), 'node')} on {numbers.count(len(members), 'worker')}"
            if len(cells)
            else "",
            ", ".join(stored.spec.get("images", [])),
            numbers.count(int(cells["blocks"].max()), "repetition") if len(cells) else "",
            *(f"{key}={value}" for key, value in run.labels.items()),
        ]
        return tag(
            "header",
            paragraph("pullbench · fleet report", kind="eyebrow"),
            tag("h1", run.name),
            verdict_box(
                kind,
                _title(cells, failed, whole=whole),
                [*([verdict.title] if verdict is not None else []), *summary(cells)],
            ),
            tag(
                "ul",
                join(tag("li", fact) for fact in facts if fact),
                tag("li", tag("code", run.run_id)),
                class_="facts",
            ),
        )

    def spread(self) -> Html:
        """The share of nodes with the image over time, as a figure."""
        return pulls.spread(self.stored, self.table)

    def cells(self) -> Html:
        """Every configuration: the three times, and the bytes at the registry and at the nodes."""
        found = self.table
        if found.empty:
            return Html()
        factors = [name for name in tables.varying(found) if name != "concurrency"] or ["proxy"]
        columns = [
            *sections.factor_columns(factors),
            Column(title="Nodes", number=True),
            Column(title="First node", number=True, hint="since the common start; mean over repetitions"),
            Column(title="Half", number=True),
            Column(title="Last node", number=True, hint="over trials in which every node succeeded"),
            Column(title="95% CI", number=True, hint="of the last node; Student's t over repetitions"),
            Column(title="Nodes received", number=True, hint="config and layers per trial"),
            Column(
                title="Registry served",
                number=True,
                hint="blobs that the registry itself served per trial, by its counters",
            ),
            Column(title="Share", number=True, hint="bytes served by the registry / bytes received by the nodes"),
            Column(title="Pulls", number=True, hint="successful pulls / all pulls"),
            Column(title="Notes"),
        ]
        rows = [_cell_row(row, factors) for row in records(found)]
        same = sections.the_same_in_all(found, *factors, "concurrency")
        note = f"The same in all: {same}." if same else ""
        if found["origin_bytes"].isna().any():
            note += " To see what a registry served itself, name its `counters` in the spec."
        return join(
            [
                table(columns, rows, caption=numbers.count(len(rows), "configuration")),
                paragraph(marked(note.strip(), 1_000), kind="note"),
            ]
        )

    def comparisons(self) -> Html:
        """The last node's time through each proxy compared with no proxy."""
        found = records(times.comparisons(self.stored))
        return sections.comparisons(found, _comparison, caption=" of the last node's time", corrected="over all")

    def nodes(self) -> Html:
        """The slowest nodes, and their workers with their clocks."""
        found = times.nodes(self.stored)
        if found.empty:
            return Html()
        note = (
            "Each worker received the common start in its own clock's time. The uncertainty of its offset is an error of its "
            "nodes' times."
        )
        return join([_slowest(found), _workers(self.stored), paragraph(note, kind="note")])

    def errors(self) -> Html:
        """Why pulls failed, by error code."""
        return sections.errors(tables.errors(self.stored))

    def preflight(self) -> Html:
        """What was checked before any load."""
        return sections.preflight(self.stored.checks)

    def planned_out(self) -> Html:
        """What was excluded, with its reason."""
        return sections.excluded(self.stored)


def _title(cells: pd.DataFrame, failed: int, *, whole: bool) -> str:
    if cells.empty:
        return "Nothing was measured"
    said = f"{numbers.count(failed, 'pull')} failed" if failed else "Every node received the image in every trial"
    return said if whole else f"{said} (run incomplete)"


def _cell_row(row: Mapping[str, Any], factors: Sequence[str]) -> Row:
    contents = [
        *sections.factor_contents(row, factors),
        row["nodes"],
        *(numbers.seconds(row[f"{name}_s"]) for name in times.TIMES),
        numbers.seconds_range(row["last_low_s"], row["last_high_s"]),
        numbers.size(row["delivered_bytes"]),
        numbers.size(row["origin_bytes"]),
        numbers.percent(row["origin_share"]),
        f"{row['succeeded']}/{row['pulls']}",
        join(_notes(row), " "),
    ]
    return Row(contents=contents, kind="failed" if row["succeeded"] < row["pulls"] else None)


def _notes(row: Mapping[str, Any]) -> list[Html]:
    notes = []
    if numbers.known(row["first_s"]) and row["late_s"] > _LATE_SHARE * row["first_s"]:
        words = f"start spread over {numbers.seconds(row['late_s'])}"
        title = "the last node started so long after the common start: its machine was overloaded, or the network slow"
        notes.append(tag("span", words, class_="pill warn", title=title))
    if is_limited(row):
        words = f"client-limited: machine {min(row['client_busy'], 1):.0%} busy"
        title = "a machine that runs several nodes had no CPU time left: real nodes may be faster"
        notes.append(tag("span", words, class_="pill warn", title=title))
    return notes


def _comparison(row: Mapping[str, Any]) -> str:
    within = f" ({row['within']})" if row["within"] else ""
    if row["verdict"] == ComparisonVerdict.TOO_FEW_SAMPLES:
        return f"{row['candidate']}{within}: too few repetitions in which every node succeeded."
    span = numbers.ratio_range(row["low"], row["high"])
    if row["verdict"] == ComparisonVerdict.NO_DIFFERENCE:
        return f"Through {row['candidate']} the last node takes about as long as without a proxy{within} (CI {span})."
    return (
        f"Through {row['candidate']} the last node takes {numbers.ratio(row['ratio'])} the time without a proxy{within} "
        f"(CI {span})."
    )


def _slowest(nodes: pd.DataFrame) -> Html:
    columns = [
        Column(title="Node"),
        Column(title="Has the image after", number=True, hint="median over all trials, since the common start"),
        Column(title="Pulls", number=True, hint="successful pulls / all pulls"),
    ]
    rows = [
        Row(
            contents=[row["node"], numbers.seconds(row["at_s"]), f"{row['pulls'] - row['failed']}/{row['pulls']}"],
            kind="failed" if row["failed"] else None,
        )
        for row in records(nodes.head(_MOST_NODES))
    ]
    return table(columns, rows, caption=f"The slowest of {numbers.count(len(nodes), 'node')}")


def _workers(stored: StoredRun) -> Html:
    columns = [
        Column(title="Worker"),
        Column(title="Machine"),
        Column(title="Cores", number=True),
        Column(title="Clock ahead by", number=True, hint="compared with the machine that ran the flow"),
        Column(title="Uncertainty", number=True),
    ]
    rows = [
        Row(
            contents=[
                address,
                entry["host"],
                entry["cores"],
                numbers.seconds(entry["clock_offset_s"]).replace("-", "−"),
                f"± {numbers.seconds(entry['clock_known_to_s'])}",
            ]
        )
        for address, entry in sorted((stored.environment.get("fleet") or {}).items())
    ]
    return table(columns, rows, caption=numbers.count(len(rows), "worker"))
