"""Markdown for a chat, a pull request or the Prefect UI: short, and foreign text in it stays text."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pullbench.model.plan import FACTORS
from pullbench.report.calibration import words as calibration_words
from pullbench.report.core import numbers
from pullbench.report.core.slo_words import measured_text, slo_place, slo_title, target_text, verdict_text

MOST_ROWS = 30
_SENTENCE = 2_000
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#+!|~@-])")
"""Parentheses are no markup without brackets before them, and a chat would show the backslashes."""


def escape_markdown(text: str, limit: int = 500) -> str:
    """Text that stays text: no markup, no mention, no control or direction characters, at most `limit` characters."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return _MARKUP.sub(r"\\\1", printable[:limit])


def run_summary(document: Mapping[str, Any]) -> str:
    """A run's document (`run --json`) as a page of Markdown: verdict, SLOs, settings."""
    lines = [
        f"## {escape_markdown(document['name'])}: {escape_markdown(document['headline']['title'])}",
        "",
        escape_markdown(document["headline"]["sentence"], _SENTENCE),
        "",
        f"Run `{document['run_id']}`, {document['started_at'][:16].replace('T', ' ')} UTC, {document['status']}.",
    ]
    if document["slo"]:
        rows = [
            (
                slo_title(row["name"]),
                slo_place(row),
                measured_text(row),
                target_text(row["name"], row["target"]),
                verdict_text(row),
            )
            for row in document["slo"]
        ]
        lines += ["", *_table(("SLO", "engine", "measured", "target", "verdict"), rows)]
    if calibrated := document.get("calibration", {}).get("rows"):
        lines += ["", *calibration_words.table(calibrated)]
    elif document["cells"]:
        lines += ["", *_cells(document["cells"])]
    return "\n".join(lines) + "\n"


def comparison_summary(document: Mapping[str, Any]) -> str:
    """A comparison's document (`compare --json`) as a page of Markdown: verdict, what else differs, settings."""
    cells = document["cells"]
    factors = _varying(cells)
    rows = [
        (
            *(cell[name] for name in factors),
            numbers.seconds(cell["baseline_s"]),
            numbers.seconds(cell["candidate_s"]),
            numbers.ratio(cell["ratio"]),
            numbers.ratio_range(cell["low"], cell["high"]),
            str(cell["verdict"]).replace("_", " "),
            f"{cell['candidate_succeeded']}/{cell['candidate_pulls']}",
        )
        for cell in cells[:MOST_ROWS]
    ]
    titles = (*factors, "baseline", "candidate", "ratio", "95% interval", "verdict", "succeeded")
    differs = [f"- {entry['kind']}: {escape_markdown(entry['what'])}" for entry in document["differences"]]
    return "\n".join(
        [
            f"## {escape_markdown(document['candidate']['name'])}: {escape_markdown(document['headline']['title'])}",
            "",
            escape_markdown(document["headline"]["sentence"], _SENTENCE),
            "",
            f"Candidate `{document['candidate']['run_id']}`, baseline `{document['baseline']['run_id']}`.",
            *(["", "What else differs:", "", *differs] if differs else []),
            *(["", *_table(titles, rows), *_more(cells)] if rows else []),
            "",
        ]
    )


def _cells(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    factors = _varying(cells)
    rows = [
        (
            *(cell[name] for name in factors),
            numbers.seconds(cell["median_s"]),
            numbers.seconds_range(cell["median_low_s"], cell["median_high_s"]),
            numbers.seconds(cell["wall_per_pull_s"]),
            f"{cell['succeeded']}/{cell['pulls']}",
        )
        for cell in cells[:MOST_ROWS]
    ]
    return [*_table((*factors, "median", "95% interval", "image every", "succeeded"), rows), *_more(cells)]


def _more(cells: Sequence[object]) -> list[str]:
    return ["", f"and {len(cells) - MOST_ROWS} more settings."] if len(cells) > MOST_ROWS else []


def _varying(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    return [name for name in FACTORS if len({cell[name] for cell in cells}) > 1] or ["engine"]


def _table(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    head = "| " + " | ".join(title.replace("_", " ") for title in titles) + " |"
    body = ["| " + " | ".join(escape_markdown(str(value)) for value in row) + " |" for row in rows]
    return [head, "|" + " --- |" * len(titles), *body]
