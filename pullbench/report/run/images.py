"""The pulls of one configuration by image: a median over images of different sizes describes none of them."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pullbench.model.plan import FACTORS
from pullbench.report.core import numbers
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.core.tables import by_block, latency_s
from pullbench.report.render.html import Column, Html, Row, clipped, join, paragraph, table
from pullbench.stats.summary import median_estimate

COLUMNS = [*FACTORS, "image", "size_bytes", "median_s", "median_low_s", "median_high_s", "blocks", "pulls", "failed"]
_ALIKE = 1.5
"""Images whose sizes differ by no more than this factor are of one size."""


def largest_pulls(pulls: pd.DataFrame, platform: str) -> dict[str, float]:
    """By image: the most that a successful pull of a platform received, by whatever engine.

    That is the image's size: a store that has some of its layers already receives less.
    """
    fine = pulls[pulls["ok"].astype(bool) & (pulls["platform"] == platform)]
    largest = fine.groupby("image", observed=True)["bytes"].max()
    return {str(image): float(size) for image, size in largest.dropna().items()}


def layer_sizes(stored: StoredRun, cell: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """By image: the compressed size of each layer, as the registry of a configuration gave it before the run."""
    facts = json.loads(stored.run.facts or "{}")
    found = {}
    for entry in facts.get("images", []):
        offer = entry["platforms"].get(cell["platform"])
        if entry["registry"] == cell["registry"] and offer is not None:
            layers = {layer["digest"]: int(layer["size_bytes"]) for layer in offer["manifest"]["layers"]}
            found[entry["image"]] = tuple(layers.values())
    return found


def image_rows(cell: Mapping[str, Any], pulls: pd.DataFrame, sizes: Mapping[str, float]) -> list[dict[str, Any]]:
    """A row an image of one configuration, as COLUMNS; `pulls` are its counted pulls, `sizes` those of `largest_pulls`.

    `median_s` is as that of the configuration, with a 95% interval from 3 repetitions on. It and `size_bytes` are NaN where no
    pull succeeded.
    """
    rows = []
    for image, mine in pulls.groupby("image", observed=True, sort=True):
        fine = mine[mine["ok"].astype(bool)]
        found = median_estimate(list(by_block(latency_s(fine), fine["block"]).values()))
        rows.append(
            {
                **{name: cell[name] for name in FACTORS},
                "image": str(image),
                "size_bytes": sizes.get(str(image), math.nan),
                "median_s": numbers.nan_for_none(found.value),
                "median_low_s": numbers.nan_for_none(found.low),
                "median_high_s": numbers.nan_for_none(found.high),
                "blocks": int(mine["block"].nunique()),
                "pulls": len(mine),
                "failed": len(mine) - len(fine),
            }
        )
    return rows


def images_say(rows: Sequence[Mapping[str, Any]]) -> str:
    """What a median is over, where the images are not of one size: `over 4 images of 12–950 MB`; else nothing."""
    sizes = [row["size_bytes"] for row in rows if numbers.known(row["size_bytes"]) and row["size_bytes"] > 0]
    if len(sizes) < 2 or max(sizes) <= _ALIKE * min(sizes):
        return ""
    low, high = (numbers.significant(value / 1e6) for value in (min(sizes), max(sizes)))
    return f"over {numbers.count(len(rows), 'image')} of {low}–{high} MB"


def images_scope(rows: Sequence[Mapping[str, Any]]) -> str:
    """What was pulled: `4 images of 0.474–1.01 MB`, `library/nginx:1.27 of 47.5 MB`; nothing where there is no row."""
    sizes = [row["size_bytes"] / 1e6 for row in rows if numbers.known(row["size_bytes"]) and row["size_bytes"] > 0]
    if not rows:
        return ""
    named = str(rows[0]["image"]) if len(rows) == 1 else numbers.count(len(rows), "image")
    ends = list(dict.fromkeys(numbers.significant(end) for end in (min(sizes), max(sizes)))) if sizes else []
    return f"{named} of {'–'.join(ends)} MB" if ends else named


def images_table(rows: Sequence[Mapping[str, Any]]) -> Html:
    """A row an engine and image, the slowest first; nothing where there is one image."""
    if len({row["image"] for row in rows}) < 2:
        return Html()
    several = len({row["engine"] for row in rows}) > 1
    columns = [
        *([Column(title="Engine")] if several else []),
        Column(title="Image", setting=True),
        Column(title="MB", number=True, hint="the image's size: the most that one pull received, by any engine"),
        Column(title="p50", number=True, hint="geometric mean of the repetitions' medians, successful pulls"),
        Column(title="95% CI", number=True, hint="Student's t over repetitions, from 3 on"),
        Column(title="Pulls", number=True),
        Column(title="Failed", number=True),
    ]
    made = [
        Row(
            contents=[
                *([row["engine"]] if several else []),
                clipped(row["image"]),
                numbers.megabytes(row["size_bytes"]),
                numbers.seconds(row["median_s"]),
                numbers.seconds_range(row["median_low_s"], row["median_high_s"]),
                row["pulls"],
                row["failed"],
            ],
            kind="failed" if row["failed"] else None,
        )
        for row in _slowest_first(rows)
    ]
    note = "The same configurations as in the table above. A pull of a large image takes longer, whatever the registry does."
    return join([table(columns, made, caption="Pulls by image"), paragraph(note, kind="note")])


def _slowest_first(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """By engine as they come, and in each the slowest image first."""
    frame = pd.DataFrame(rows, columns=COLUMNS)
    order = frame.assign(place=pd.factorize(frame["engine"])[0])
    return records(order.sort_values(["place", "median_s"], ascending=[True, False], kind="stable")[COLUMNS])
