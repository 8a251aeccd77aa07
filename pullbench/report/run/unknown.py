"""What a run cannot show, and what would: one list, which the other sections link to."""

from collections.abc import Iterator, Sequence

import pandas as pd

from pullbench.report.core import numbers
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.render.html import Html, marked, tag
from pullbench.report.run.break_even import unknown_paybacks
from pullbench.report.run.claims import only_loopback
from pullbench.report.run.phases import PullPhases
from pullbench.stats.summary import values_needed

_LONGEST = 1_000
_ALWAYS = (
    "This run does not know other load on registry and network, other vantages or other hours.",
    "What an engine does not report, or what has too few pulls, is a dash. A dash is not zero.",
)


def unknowns(
    stored: StoredRun,
    cells: pd.DataFrame,
    limits: Sequence[str],
    paid: pd.DataFrame,
    phases: Sequence[PullPhases],
) -> list[str]:
    """What a run cannot show, an entry each: a sentence or two. `limits` are the summary's, the others those of the page."""
    return [*limits, *_of_the_lab(stored), *unknown_paybacks(paid), *_of_phases(phases), *_percentiles(cells), *_ALWAYS]


def _of_the_lab(stored: StoredRun) -> Iterator[str]:
    if only_loopback(stored):
        yield (
            "The registry is on this machine too: it takes its share of the CPU. Nothing here is about a real network or "
            "real regions."
        )


def _of_phases(phases: Sequence[PullPhases]) -> Iterator[str]:
    silent = [each.engine for each in phases if not each.phases]
    if silent:
        verb = "does" if len(silent) == 1 else "do"
        yield f"{numbers.listed(silent)} {verb} not report the phases of a pull: what takes its time is not known."


def _percentiles(cells: pd.DataFrame) -> Iterator[str]:
    """The configurations without a p95, or else without a p99: how many pulls it takes."""
    for q in (95, 99):
        lacking = sum(not numbers.known(row[f"p{q}_s"]) for row in records(cells))
        if lacking:
            have = "has" if lacking == 1 else "have"
            of = numbers.count(len(cells), "configuration")
            some = f"{lacking} of {of} {have} no" if lacking < len(cells) else "No configuration has a"
            yield f"{some} p{q}: it needs {values_needed(q)} pulls of a configuration."
            return


def unknown_section(found: Sequence[str]) -> Html:
    """The list."""
    return tag("ul", *(tag("li", marked(said, _LONGEST)) for said in found), class_="details")
