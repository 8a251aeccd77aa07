"""Where the time of a pull goes, engine by engine: login, manifests, download, unpacking. From what engines report of a pull."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from pullbench.model.capability import CAPABILITIES
from pullbench.model.factor_words import factor_text
from pullbench.model.plan import FACTORS
from pullbench.model.route import DIRECT
from pullbench.report.core import numbers
from pullbench.report.core.stored import StoredRun, measured, records
from pullbench.report.core.tables import PHASES, best, configuration, in_cell, in_everyday_mirrors, phase_share, varying
from pullbench.report.render.html import Column, Html, Row, join, paragraph, table
from pullbench.report.run.images import image_rows, images_say, images_table, largest_pulls, layer_sizes

_VERBS = {"auth": "authentication", "resolve": "reading manifests", "download": "downloading", "extract": "unpacking"}
_PLACE = ("registry", "proxy", "proxy_cache", "platform", "cache", "auth")
_MOST_IN_ALL = 1.01
_MATTERS = 0.05
"""A phase under this share of a pull is left out of a sentence."""
LARGE = 0.5
"""A phase from this share on is the one to work on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One phase of an engine's pulls: `seconds` and `share` of the duration, both medians over the `pulls` that report it."""

    name: str
    seconds: float
    share: float
    pulls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PullPhases:
    """The phases of one engine's pulls, in the order in which they begin; empty where the engine reports none.

    They are those of the engine's best place at the lowest concurrency measured there: what a single pull waits for.
    """

    cell: Mapping[str, Any]
    place: str
    """Its concurrency and route, where the run has several."""
    pulls: int
    median_s: float
    phases: tuple[Phase, ...]
    images: tuple[Mapping[str, Any], ...] = ()
    """A row for each image of the configuration, as `images.COLUMNS`."""
    layers: tuple[int, ...] = ()
    """The compressed size of each layer of the only image; empty where there are several images, or none is known."""

    @property
    def engine(self) -> str:
        return str(self.cell["engine"])

    @property
    def unpacks(self) -> bool:
        """Whether the engine stores an image as a user's client does."""
        return CAPABILITIES[self.cell["engine_kind"]].has_store

    @property
    def main(self) -> Phase | None:
        """The phase that takes the most."""
        return max(self.phases, key=lambda phase: phase.share, default=None)

    def share(self, name: str) -> float | None:
        """A phase's share; None where the engine does not report it."""
        return next((phase.share for phase in self.phases if phase.name == name), None)

    def from_some(self, phase: Phase) -> str:
        """` (from 4 of 12 pulls)`, where not every pull reports a phase."""
        return f" (from {phase.pulls} of {numbers.count(self.pulls, 'pull')})" if phase.pulls < self.pulls else ""

    def document(self) -> dict[str, Any]:
        """The phases as JSON values."""
        known = [asdict(each) for each in self.phases]
        place = {name: self.cell[name] for name in FACTORS}
        return place | {"pulls": self.pulls, "median_s": self.median_s, "phases": known}


def pull_phases(stored: StoredRun, cells: pd.DataFrame) -> list[PullPhases]:
    """The phases of each engine that had a pull succeed, engines that unpack first; `cells` is `tables.cells`'s.

    The others are looked at in the same place, if they were measured there: what the registry takes for the same pull.
    """
    kinds = cells.drop_duplicates("engine").set_index("engine")["engine_kind"]
    engines = sorted(kinds.index, key=lambda engine: not CAPABILITIES[kinds[engine]].has_store)
    factors = varying(cells)
    found: list[PullPhases] = []
    for engine in engines:
        mine = _usual(cells[cells["engine"] == engine], stored.host_platform)
        there = mine[_same_place(mine, found[0].cell)] if found else mine
        cell = _single_pull(there if len(there) else mine) or _single_pull(mine)
        if cell is not None:
            found.append(_phases_of(stored, cell, _place(cell, factors)))
    return found


def _place(cell: Mapping[str, Any], factors: Sequence[str]) -> str:
    """What names the configuration in a sentence: `concurrency 4, from eu through cache`, of what varies or is unusual."""
    named = [name for name in ("concurrency", "registry", "proxy", "platform", "cache") if name in factors]
    usual = cell["proxy"] == DIRECT and cell["cache"] == "cold" and not factor_text("auth", cell["auth"])
    return configuration(cell, named) if named or not usual else ""


def _usual(cells: pd.DataFrame, platform: str) -> pd.DataFrame:
    """The configurations of this machine's platform, of a cold client cache and of a warm mirror, where there are any."""
    for column, wanted in (("platform", platform), ("cache", "cold")):
        some = cells[cells[column] == wanted]
        cells = some if len(some) else cells
    return in_everyday_mirrors(cells)


def _same_place(cells: pd.DataFrame, chosen: Mapping[str, Any]) -> pd.Series:
    same = pd.Series(True, index=cells.index)
    for name in _PLACE:
        same &= cells[name] == chosen[name]
    return same


def _single_pull(cells: pd.DataFrame) -> dict[str, Any] | None:
    """The configuration to look at: the place of the best one, at its lowest concurrency."""
    winner = best(cells)
    if winner is None:
        tried = cells[cells["succeeded"] > 0]
        winner = None if tried.empty else tried["success_rate"].idxmax()
    if winner is None:
        return None
    there = cells[_same_place(cells, cells.loc[winner]) & (cells["succeeded"] > 0)]
    return records(there.loc[[there["concurrency"].idxmin()]])[0]


def _phases_of(stored: StoredRun, cell: Mapping[str, Any], place: str) -> PullPhases:
    pulls = measured(in_cell(stored.pulls, cell))
    sizes = layer_sizes(stored, cell)
    largest = largest_pulls(stored.pulls, cell["platform"])
    whole = {image: max(largest.get(image, 0.0), sum(layers)) for image, layers in sizes.items()}
    images = tuple(image_rows(cell, pulls, largest | whole))
    fine = pulls[pulls["ok"].astype(bool)]
    duration_s = fine["duration_s"].to_numpy(dtype=np.float64)
    phases = []
    for name in PHASES:
        seconds = fine[f"{name}_s"].to_numpy(dtype=np.float64, na_value=np.nan)
        share = phase_share(seconds, duration_s)
        if share == share:
            known = int((~np.isnan(seconds)).sum())
            phases.append(Phase(name=name, seconds=float(np.nanmedian(seconds)), share=share, pulls=known))
    return PullPhases(
        cell=cell,
        place=place,
        pulls=len(fine),
        median_s=float(cell["median_s"]),
        phases=tuple(phases),
        images=images,
        layers=sizes[images[0]["image"]] if len(images) == 1 and images[0]["image"] in sizes else (),
    )


def cause(found: Sequence[PullPhases]) -> list[str]:
    """Where the time goes: a sentence an engine, those that unpack first, and what the registry alone takes."""
    unpacking = [each for each in found if each.unpacks]
    others = [each for each in found if not each.unpacks]
    return [*map(_engine_sentence, unpacking or others), *_delivery(unpacking, others)]


def _engine_sentence(found: PullPhases) -> str:
    over = images_say(found.images)
    median = ", ".join(filter(None, [f"median {over}".strip(), found.place]))
    of = f" of {found.images[0]['image']}" if len(found.images) == 1 else ""
    took = f"A {found.engine} pull{of} takes {numbers.seconds(found.median_s)} ({median})"
    shown = sorted((each for each in found.phases if each.share >= _MATTERS), key=lambda each: -each.share)
    if not shown:
        return f"{took}. {found.engine} does not report its phases."
    first, *rest = shown
    said = f"{took}: {_share(first.share)} of it is {_VERBS[first.name]}{found.from_some(first)}"
    said += "".join(f", {_share(each.share)} {_VERBS[each.name]}" for each in rest[:2])
    if (found.share("download") or 0.0) + (found.share("extract") or 0.0) > _MOST_IN_ALL:
        return f"{said} (they overlap)."
    left = 100 - sum(round(100 * each.share) for each in (first, *rest[:2]))
    whole = all(each.pulls == found.pulls for each in (first, *rest[:2]))
    return f"{said}, {left}% other." if whole and left > 0 else f"{said}."


def _delivery(unpacking: Sequence[PullPhases], others: Sequence[PullPhases]) -> list[str]:
    """What the registry takes for the same images, measured by an engine that does not unpack."""
    same = [
        each
        for each in others
        if unpacking and all(each.cell[name] == unpacking[0].cell[name] for name in ("registry", "proxy", "platform"))
    ]
    wire = next((each for each in same if each.cell["engine_kind"] == "wire"), same[0] if same else None)
    if wire is None:
        return []
    images = "image" if len(wire.images) == 1 else "images"
    return [f"The registry delivers the same {images} in {numbers.seconds(wire.median_s)} ({wire.engine})."]


def a_pull_takes(found: PullPhases) -> str:
    """`6.01 s a pull, 87% unpacking`: a pull and its largest phase in a few words."""
    said = f"{numbers.seconds(found.median_s)} a pull"
    return said if found.main is None else f"{said}, {_share(found.main.share)} {_VERBS[found.main.name]}"


def _share(share: float) -> str:
    return f"{share:.0%}"


def _share_from(found: PullPhases, name: str) -> str:
    phase = next((each for each in found.phases if each.name == name), None)
    return numbers.NOT_KNOWN if phase is None else f"{_share(phase.share)}{found.from_some(phase)}"


def phases_section(found: Sequence[PullPhases]) -> Html:
    """A row an engine: how long a pull takes, and each phase's share of it; nothing without a pull."""
    if not found:
        return Html()
    names = [name for name in PHASES if any(each.share(name) is not None for each in found)]
    columns = [
        Column(title="Engine"),
        Column(title="p50", number=True, hint="as in the table of configurations"),
        *(
            Column(title=_VERBS[name].capitalize(), number=True, hint="median share of a pull's duration")
            for name in names
        ),
        Column(title="Configuration", setting=True),
    ]
    rows = [
        Row(
            contents=[
                each.engine,
                numbers.seconds(each.median_s),
                *(_share_from(each, name) for name in names),
                configuration(each.cell, ("concurrency", "registry", "proxy", "platform")),
            ]
        )
        for each in found
    ]
    note = (
        "Each engine with its best registry and route, at the lowest concurrency measured there. Download and unpacking overlap, so shares "
        "can add up to more than 100%."
    )
    made = table(columns, rows, caption="Where the time of a pull goes")
    images = images_table([row for each in found for row in each.images])
    return join([*(paragraph(sentence) for sentence in cause(found)), made, paragraph(note, kind="note"), images])
