"""Rows of a calibration's document in words and units: the same in console, report and Markdown."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pullbench.errors import IncompleteError
from pullbench.model.sizes import format_bytes
from pullbench.report import numbers

HEADINGS = ("quantity", "of", "truth", "measured", "error", "95% interval", "plain sockets", "goal", "verdict")
VERDICTS = {"met": "met", "missed": "missed", "not_shown": "not shown"}
BEGIN, END = "<!-- calibration: begin -->", "<!-- calibration: end -->"
_VALUES: Mapping[str, Callable[[float], str]] = {
    "s": numbers.seconds,
    "bytes/s": numbers.rate,
    "share": numbers.percent,
    "count": lambda value: f"{value:,.0f}",
    "bytes": lambda value: f"{value:,.0f} B",
}


def value(row: Mapping[str, Any], name: str) -> str:
    """One of a row's numbers with its unit; a dash for what is not known."""
    found = row[name]
    return numbers.NOT_KNOWN if found is None else _VALUES[row["unit"]](found)


def error(row: Mapping[str, Any]) -> str:
    """How far off it is: `+0.31 ms (+0.5%)`; of counts the difference alone, of shares points."""
    found = row["error"]
    if found is None:
        return numbers.NOT_KNOWN
    if found == 0:
        return "0"
    sign = "+" if found > 0 else "−"
    if row["unit"] == "share":
        return f"{sign}{numbers.significant(abs(found) * 100, 2)} points"
    if row["unit"] in ("count", "bytes"):
        return f"{sign}{abs(found):,.0f}"
    share = f"{sign}{numbers.significant(abs(found) / row['truth'] * 100, 2)}%" if row["truth"] else ""
    return share if row["unit"] == "bytes/s" else f"{sign}{numbers.seconds(abs(found))} ({share})"


def interval(row: Mapping[str, Any]) -> str:
    """The interval with its unit."""
    low, high = row["low"], row["high"]
    if low is None or high is None:
        return numbers.NOT_KNOWN
    if row["unit"] == "s":
        return numbers.seconds_range(low, high)
    if row["unit"] == "bytes/s":
        first, second = format_bytes(low), format_bytes(high)
        same = first.rpartition(" ")[2] == second.rpartition(" ")[2]
        return f"{first.rpartition(' ')[0]}–{second}/s" if same else f"{first}/s – {second}/s"
    return f"{numbers.percent(low)} – {numbers.percent(high)}"


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A row as texts, in the order of HEADINGS."""
    return (
        row["quantity"],
        row["line"],
        value(row, "truth"),
        value(row, "measured"),
        error(row),
        interval(row),
        value(row, "reference"),
        row["goal"],
        VERDICTS[row["verdict"]],
    )


def markdown(document: Mapping[str, Any]) -> str:
    """The table of a calibration's document as Markdown, with a line that says which run it is."""
    rows = document["calibration"]["rows"]
    alignment = "|".join("---:" if name in HEADINGS[2:7] else "---" for name in HEADINGS)
    lines = [f"| {' | '.join(HEADINGS)} |", f"|{alignment}|"]
    lines += [f"| {' | '.join(cells(row))} |" for row in rows]
    seed, at = document["calibration"]["seed"], document["started_at"][:16].replace("T", " ")
    machine = document["calibration"]["machine"]
    said = f"Run `{document['run_id']}`, {at} UTC, `--seed {seed}`, {machine}. {document['headline']['sentence']}"
    return "\n".join([*lines, "", said]) + "\n"


def put_into(file: Path, document: Mapping[str, Any]) -> None:
    """Write the table into a file: between its marks where it has them, else as the whole file.

    Raises IncompleteError where it cannot be written.
    """
    table = f"{BEGIN}\n{markdown(document)}{END}\n"
    try:
        there = file.read_text(encoding="utf-8") if file.is_file() else ""
        before, begun, rest = there.partition(BEGIN)
        _, ended, after = rest.partition(f"{END}\n")
        file.write_text(before + table + after if begun and ended else table, encoding="utf-8")
    except OSError as error_:
        raise IncompleteError(f"{file}: the table cannot be written there: {error_.strerror}") from error_
