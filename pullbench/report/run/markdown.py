"""Markdown for a chat, a pull request or the Prefect UI: short, and foreign text in it stays text."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pullbench.model.factor_words import factor_in_column, factor_title
from pullbench.model.plan import FACTORS
from pullbench.report.calibration import words as calibration_words
from pullbench.report.core import numbers
from pullbench.report.core.slo_words import measured_text, slo_place, slo_title, target_text, verdict_text
from pullbench.stats.summary import values_needed

MOST_ROWS = 30
_SENTENCE = 2_000
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#+!|~@-])")
"""Parentheses are no markup without brackets before them, and a chat would show the backslashes."""


def escape_markdown(text: str, limit: int = 500) -> str:
    """Text that stays text: no markup, no mention, no control or direction characters, at most `limit` characters."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return _MARKUP.sub(r"\\\1", printable[:limit])


def run_summary(document: Mapping[str, Any]) -> str:
    """A run's document (`run --json`) as a page of Markdown: the verdict, p50 and p95, the SLOs, the configurations."""
    title = f"{escape_markdown(document['name'])}: {escape_markdown(document['headline']['title'])}"
    lines = [f"## {title}", "", *_times(document), *_sentences(document), "", _of_run(document)]
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


def _times(document: Mapping[str, Any]) -> list[str]:
    """A line for each engine: p50 and p95 of the configuration that its phases are of."""
    lines = []
    for phases in document.get("phases", []):
        same = (cell for cell in document["cells"] if all(cell[name] == phases[name] for name in FACTORS))
        if (cell := next(same, None)) is not None:
            times = f"p50 {numbers.seconds(cell['median_s'])}, p95 {_p95(cell)}"
            lines.append(f"**{escape_markdown(phases['engine'])}, concurrency {cell['concurrency']}: {times}**  ")
    return [*lines, ""] if lines else []


def _p95(cell: Mapping[str, Any]) -> str:
    return (
        numbers.seconds(cell["p95_s"])
        if numbers.known(cell["p95_s"])
        else f"needs {values_needed(95)} pulls (has {cell['succeeded']})"
    )


def _sentences(document: Mapping[str, Any]) -> list[str]:
    """The block of the console as a list; a stress test and a calibration have a headline alone."""
    if "summary" not in document:
        return [escape_markdown(document["headline"]["sentence"], _SENTENCE)]
    titles = {"cause": "Time", "best": "Best", "mirror": "Mirror", "slo": "SLO", "notes": "Notes"}
    return [
        f"- **{title}:** {_with_code(' '.join(document['summary'][key]))}"
        for key, title in titles.items()
        if document["summary"].get(key)
    ]


def _with_code(text: str) -> str:
    """Sentences of ours: names in backticks stay code, and all else is escaped; a lone backtick is text."""
    parts = text[:_SENTENCE].split("`")
    if len(parts) % 2 == 0:
        return escape_markdown(text, _SENTENCE)
    return "".join(f"`{part}`" if at % 2 else escape_markdown(part, _SENTENCE) for at, part in enumerate(parts))


def _of_run(document: Mapping[str, Any]) -> str:
    return f"Run `{document['run_id']}`, {document['started_at'][:16].replace('T', ' ')} UTC, {document['status']}."


def comparison_summary(document: Mapping[str, Any]) -> str:
    """A comparison's document (`compare --json`) as a page of Markdown: verdict, what else differs, configurations."""
    cells = document["cells"]
    factors = _varying(cells)
    rows = [
        (
            *(factor_in_column(name, cell) for name in factors),
            numbers.seconds(cell["baseline_s"]),
            numbers.seconds(cell["candidate_s"]),
            numbers.ratio(cell["ratio"]),
            numbers.ratio_range(cell["low"], cell["high"]),
            str(cell["verdict"]).replace("_", " "),
            f"{cell['candidate_succeeded']}/{cell['candidate_pulls']}",
        )
        for cell in cells[:MOST_ROWS]
    ]
    titles = (*factors, "baseline", "candidate", "ratio", "CI", "verdict", "succeeded")
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
    shares = [
        (title, key)
        for title, key in (("download", "download_share"), ("unpack", "extract_share"))
        if any(numbers.known(cell[key]) for cell in cells)
    ]
    rows = [
        (
            *(factor_in_column(name, cell) for name in factors),
            numbers.seconds(cell["median_s"]),
            numbers.seconds_range(cell["median_low_s"], cell["median_high_s"]),
            numbers.seconds(cell["p95_s"]),
            numbers.plain(cell["images_per_s"]),
            numbers.megabytes(cell["throughput_bytes_per_s"]),
            *(numbers.whole_percent(cell[key]) for _, key in shares),
            f"{cell['succeeded']}/{cell['pulls']}",
        )
        for cell in cells[:MOST_ROWS]
    ]
    return [
        *_table((*factors, "p50", "95% CI", "p95", "images/s", "MB/s", *(title for title, _ in shares), "pulls"), rows),
        *_more(cells),
    ]


def _more(cells: Sequence[object]) -> list[str]:
    return ["", f"and {len(cells) - MOST_ROWS} more configurations."] if len(cells) > MOST_ROWS else []


def _varying(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    return [name for name in FACTORS if len({cell[name] for cell in cells}) > 1] or ["engine"]


def _table(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    head = "| " + " | ".join(factor_title(title) for title in titles) + " |"
    body = ["| " + " | ".join(escape_markdown(str(value)) for value in row) + " |" for row in rows]
    return [head, "|" + " --- |" * len(titles), *body]
