"""The page of a regional benchmark: which vantages answered, the pull times to each registry, the clock offsets."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import pandas as pd

from pullbench.model.capability import engines_to_judge
from pullbench.report.core import numbers, sections, tables
from pullbench.report.core.stored import StoredRun, measured, records
from pullbench.report.core.verdict_box import verdict_box
from pullbench.report.figures import forest
from pullbench.report.regional import runs
from pullbench.report.regional.runs import RegionalRuns
from pullbench.report.render.html import Column, Html, Row, join, paragraph, style, table, tag
from pullbench.report.run.verdicts import Headline, contrast_sentence, judged
from pullbench.stats.compare import matters
from pullbench.store.regional import VantageResult

_ANSWERS = {"complete": ("good", "answered"), "incomplete": ("warn", "incomplete"), "missing": ("bad", "missing")}
_MOST_DIFFERENCES = 12
_LINE_END = Html("<br>")


class RegionalPage:
    """The report of one spec from several vantages; `table` is a frame of every configuration for your own analysis."""

    def __init__(self, regional: RegionalRuns) -> None:
        self.regional = regional

    @cached_property
    def table(self) -> pd.DataFrame:
        """Every configuration of every vantage."""
        return runs.cells(self.regional)

    @cached_property
    def _verdicts(self) -> dict[str, Headline]:
        """Whether each vantage's own run meets the spec's SLO; empty where the spec has none."""
        verdicts = {vantage: judged(run) for vantage, run in self.regional.runs.items()}
        return {vantage: verdict for vantage, verdict in verdicts.items() if verdict is not None}

    def style(self) -> Html:
        """The style sheet, for a notebook that is opened in Jupyter."""
        return style()

    def header(self) -> Html:
        """Title, which vantages answered, and the shortest and the longest pull."""
        found, cells = self.regional, self.table
        record, lacking = found.record, found.lacking
        vantages = len(record.asked)
        missing = [vantage for vantage, verdict in self._verdicts.items() if verdict.status in ("missed", "partly")]
        kind = "bad" if len(lacking) == vantages else "warn" if lacking or missing else "good"
        slo = [f"SLO missed from {', '.join(missing)}."] if missing else []
        lasted_s = (record.finished_at - record.started_at).total_seconds()
        facts = [
            f"{record.started_at:%d %B %Y, %H:%M} UTC".lstrip("0"),
            numbers.seconds(lasted_s),
            "one vantage after the other" if record.in_turn else "all vantages at the same time",
            numbers.count(int(cells["pulls"].sum()) if len(cells) else 0, "pull"),
        ]
        return tag(
            "header",
            paragraph("pullbench · regional report", kind="eyebrow"),
            tag("h1", record.name),
            verdict_box(kind, _who_answered(vantages, lacking), [*slo, *_ends(cells)]),
            tag(
                "ul",
                join(tag("li", fact) for fact in facts),
                tag("li", tag("code", record.regional_id)),
                class_="facts",
            ),
        )

    def vantages(self) -> Html:
        """Every requested vantage, its answer, and when it measured."""
        found = self.regional
        verdicts = self._verdicts
        columns = [
            Column(title="Vantage"),
            Column(title="Answer"),
            Column(title="Run"),
            Column(title="Started (UTC)"),
            Column(title="Took", number=True),
            Column(title="Pulls", number=True, hint="successful pulls / all pulls, without the warm-up"),
            *([Column(title="SLO", prose=True)] if verdicts else []),
            *([Column(title="Why", prose=True)] if any(entry.reason for entry in found.record.asked) else []),
        ]
        rows = [
            Row(
                contents=_vantage_cells(entry, found.runs.get(entry.vantage), verdicts)[: len(columns)],
                kind="failed" if entry.answer == "missing" else None,
            )
            for entry in found.record.asked
        ]
        note = (
            "The vantages measured one after the other, so their loads do not add up."
            if found.record.in_turn
            else "The vantages measured at the same time, so their loads add up on a shared registry."
        )
        made = table(columns, rows, caption=numbers.count(len(rows), "vantage"))
        return join([made, paragraph(note if len(found.runs) > 1 else "", kind="note")])

    def regions(self) -> Html:
        """The median pull from each vantage to each registry, as a figure."""
        return forest.regions(self.table)

    def matrices(self) -> Html:
        """A table for each configuration: a row a vantage, a column a registry; the median with its interval."""
        cells = self.table
        if cells.empty:
            return Html()
        factors = runs.varying(cells)
        registries = list(dict.fromkeys(zip(cells["registry"], cells["region"], strict=True)))
        made = [
            _matrix(group, registries, tables.label(records(group)[0], factors) if factors else "")
            for _, group in cells.groupby(list(runs.SETTING), sort=False, dropna=False)
        ]
        same = sections.the_same_in_all(cells, *factors, "registry")
        return join([*made, paragraph(f"The same in all: {same}.", kind="note")])

    def distances(self) -> Html:
        """One registry compared with another, from each vantage."""
        return sections.comparisons(
            records(runs.distances(self.regional)),
            contrast_sentence,
            caption=", each within one vantage's run",
            corrected="within the vantage",
            first=("From", lambda row: row["vantage"]),
        )

    def unequal(self) -> Html:
        """What differs between the vantages' runs and should be equal."""
        first = next(iter(self.regional.runs), "")
        rows = [
            Row(contents=[vantage, entry.kind, entry.what, entry.before, entry.after])
            for vantage, entries in runs.unequal(self.regional).items()
            for entry in entries[:_MOST_DIFFERENCES]
        ]
        if not rows:
            return Html()
        columns = [
            Column(title="Vantage"),
            Column(title="Kind"),
            Column(title="What", prose=True),
            Column(title=f"At {first}", prose=True),
            Column(title="At the vantage", prose=True),
        ]
        return table(columns, rows, caption=f"{numbers.count(len(rows), 'difference')} from {first}")

    def clocks(self) -> Html:
        """The offset of each two clocks; shown, never corrected."""
        if len(self.regional.runs) < 2:
            return Html()
        offsets = runs.clocks(self.regional)
        if offsets.empty:
            return paragraph(
                "The clocks were not compared: no two vantages received the time from the same registry.",
                kind="note",
            )
        columns = [
            Column(title="First"),
            Column(title="Second"),
            Column(title="First is ahead by", number=True),
            Column(title="Uncertainty", number=True, hint="half the width of the range that the answers allow"),
            Column(title="By the clock of"),
        ]
        rows = [
            Row(
                contents=[
                    row["first"],
                    row["second"],
                    _signed(row["offset_s"]),
                    f"± {numbers.seconds(row['known_to_s'])}",
                    row["by"],
                ],
                kind="failed" if abs(row["offset_s"]) - row["known_to_s"] > 1 else None,
            )
            for row in records(offsets)
        ]
        return table(columns, rows, caption="Clock offsets between vantages")


def _who_answered(vantages: int, lacking: Sequence[str]) -> str:
    if lacking:
        complete = f"{vantages - len(lacking)} of {numbers.count(vantages, 'vantage')}"
        return f"{complete} {'is' if vantages == 1 else 'are'} complete; missing or incomplete: {', '.join(lacking)}"
    return {1: "The one vantage answered", 2: "Both vantages answered"}.get(
        vantages, f"All {vantages} vantages answered"
    )


def _ends(cells: pd.DataFrame) -> list[str]:
    """The shortest and the longest median pull of the engines that do the same work."""
    kinds = dict(zip(cells["engine"], cells["engine_kind"], strict=True))
    known = cells[cells["median_s"].notna() & cells["engine"].isin(engines_to_judge(kinds))]
    if known.empty:
        return ["No pull succeeded from any vantage, so there is no time to report."]
    ordered = records(known.sort_values("median_s", kind="stable"))
    first, last = ordered[0], ordered[-1]
    if len(known) == 1:
        return [f"The median pull takes {_time(first)}."]
    times = last["median_s"] / first["median_s"]
    more = f"; {numbers.ratio(times)} the shortest" if matters(times) else ""
    return [
        f"Shortest median pull: {_time(first)}, {_route(first)}.",
        f"Longest median pull: {_time(last)}, {_route(last)}{more}.",
    ]


def _time(cell: Mapping[str, Any]) -> str:
    """A median with its interval, where there are enough repetitions."""
    span = numbers.seconds_range(cell["median_low_s"], cell["median_high_s"])
    interval = "" if span == numbers.NOT_KNOWN else f" (95% CI {span})"
    return f"{numbers.seconds(cell['median_s'])}{interval}"


def _route(cell: Mapping[str, Any]) -> str:
    return f"from vantage {cell['vantage']}, {tables.configuration(cell)}"


def _vantage_cells(entry: VantageResult, run: StoredRun | None, verdicts: Mapping[str, Headline]) -> list[object]:
    kind, word = _ANSWERS[entry.answer]
    pulls = measured(run.pulls) if run is not None else pd.DataFrame()
    took = None if run is None or run.run.finished_at is None else run.run.finished_at - run.run.started_at
    verdict = verdicts.get(entry.vantage)
    return [
        entry.vantage,
        tag("span", word, class_=f"pill {kind}"),
        tag("code", entry.run_id) if entry.run_id else numbers.NOT_KNOWN,
        f"{run.run.started_at:%Y-%m-%d %H:%M:%S}" if run is not None else numbers.NOT_KNOWN,
        numbers.seconds(None if took is None else took.total_seconds()),
        f"{int(pulls['ok'].sum()):,}/{len(pulls):,}" if len(pulls) else numbers.NOT_KNOWN,
        *([numbers.NOT_KNOWN if verdict is None else verdict.title] if verdicts else []),
        entry.reason,
    ]


def _matrix(group: pd.DataFrame, registries: Sequence[tuple[str, str]], configuration: str) -> Html:
    columns = [
        Column(title="From"),
        *(Column(title=f"{name} ({region})" if region else name, number=True) for name, region in registries),
    ]
    rows = []
    for vantage in dict.fromkeys(group["vantage"]):
        seen = {row["registry"]: row for row in records(group[group["vantage"] == vantage])}
        least = min((row["median_s"] for row in seen.values() if numbers.known(row["median_s"])), default=None)
        rows.append(Row(contents=[vantage, *(_seen(seen.get(name), least) for name, _ in registries)]))
    return table(columns, rows, caption=configuration or "Median pull, from vantage to registry")


def _seen(row: Mapping[str, Any] | None, least: float | None) -> Html | str:
    if row is None:
        return numbers.NOT_KNOWN
    median = tag("strong" if row["median_s"] == least else "span", numbers.seconds(row["median_s"]))
    parts: list[object] = [median, _LINE_END, numbers.seconds_range(row["median_low_s"], row["median_high_s"])]
    failed = row["pulls"] - row["succeeded"]
    if failed:
        parts += [" ", tag("span", f"{failed} of {row['pulls']} failed", class_="pill bad")]
    return join(parts)


def _signed(seconds: float) -> str:
    return numbers.seconds(seconds) if seconds >= 0 else f"−{numbers.seconds(-seconds)}"
