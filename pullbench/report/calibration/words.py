"""Rows of a calibration's document with words and units: the same in console, report and Markdown."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pullbench.errors import IncompleteError, UsageError
from pullbench.report.core import numbers

HEADINGS = ("quantity", "line", "truth", "measured", "error", "95% CI", "plain sockets", "goal", "verdict")
VERDICTS = {"met": "met", "missed": "missed", "not_shown": "inconclusive"}
"""The verdicts of the JSON as people read them."""
_QUANTITIES = {"rate, one at a time": "rate, concurrency 1", "rate, several at once": "rate, concurrency 4"}
"""Quantities of the JSON that people read under another name."""
_ROUNDING = 1e-9
BEGIN, END = "<!-- calibration: begin -->", "<!-- calibration: end -->"
_VALUES: Mapping[str, Callable[[float], str]] = {
    "s": lambda value: f"{value * 1e3:,.2f} ms",
    "bytes/s": lambda value: f"{value / 1e6:,.2f} MB/s",
    "share": numbers.percent,
    "count": lambda value: f"{value:,.0f}",
    "bytes": lambda value: f"{value:,.0f} B",
}


def quantity(name: str) -> str:
    """A quantity as people read it."""
    return _QUANTITIES.get(name, name)


def value(row: Mapping[str, Any], name: str) -> str:
    """One of a row's numbers with its unit; a dash for an unknown one."""
    found = row[name]
    return numbers.NOT_KNOWN if found is None else _VALUES[row["unit"]](found)


def error(row: Mapping[str, Any]) -> str:
    """The error: `+0.31 ms (+0.5%)`; of counts only the difference, of shares in points."""
    found = _error_of(row)
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
    return share if row["unit"] == "bytes/s" else f"{sign}{_VALUES['s'](abs(found))} ({share})"


def _error_of(row: Mapping[str, Any]) -> float | None:
    """The error, without the rounding of the arithmetic."""
    found: float | None = row["error"]
    return 0.0 if found is not None and abs(found) <= _ROUNDING * abs(row["truth"]) else found


def interval(row: Mapping[str, Any]) -> str:
    """The interval with its unit."""
    low, high = row["low"], row["high"]
    if low is None or high is None:
        return numbers.NOT_KNOWN
    first, second = (_VALUES[row["unit"]](end) for end in (low, high))
    return f"{first.rpartition(' ')[0] or first}–{second}"


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A row as texts, in the order of HEADINGS."""
    return (
        quantity(row["quantity"]),
        row["line"],
        value(row, "truth"),
        value(row, "measured"),
        error(row),
        interval(row),
        value(row, "reference"),
        row["goal"],
        VERDICTS[row["verdict"]],
    )


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The lines of a Markdown table."""
    alignment = "|".join("---:" if name in HEADINGS[2:7] else "---" for name in HEADINGS)
    return [f"| {' | '.join(HEADINGS)} |", f"|{alignment}|", *(f"| {' | '.join(cells(row))} |" for row in rows)]


def markdown(document: Mapping[str, Any]) -> str:
    """The table of a calibration's document as Markdown, with a line about its run."""
    lines = table(document["calibration"]["rows"])
    seed, at = document["calibration"]["seed"], document["started_at"][:16].replace("T", " ")
    machine = document["calibration"]["machine"]
    headline = document["headline"]
    said = (
        f"Run `{document['run_id']}`, {at} UTC, `--seed {seed}`, {machine}. {headline['title']}. {headline['sentence']}"
    )
    return "\n".join([*lines, "", said]) + "\n"


def check_place(file: Path) -> None:
    """Raises UsageError for a file that would lose content: it has some, and no marks for the table."""
    if not file.resolve().parent.is_dir():
        raise UsageError(f"--markdown {file}: there is no directory {file.parent}")
    there = file.read_bytes().decode("utf-8", "replace").strip() if file.is_file() else ""
    _, begun, rest = there.partition(BEGIN)
    if file.is_dir() or (there and not (begun and END in rest)):
        raise UsageError(
            f"--markdown {file}: the file exists and would be overwritten; add the lines {BEGIN} and {END} where the table "
            "belongs, or name a new file"
        )


def put_into(file: Path, document: Mapping[str, Any]) -> None:
    """Write the table into a file: between its marks where it has them, else as the whole file.

    Raises IncompleteError where it cannot be written.
    """
    made = f"{BEGIN}\n{markdown(document)}{END}\n"
    try:
        there = file.read_text(encoding="utf-8") if file.is_file() else ""
        before, begun, rest = there.partition(BEGIN)
        _, ended, after = rest.partition(END)
        file.write_text(before + made + after.removeprefix("\n") if begun and ended else made, encoding="utf-8")
    except OSError as error_:
        raise IncompleteError(f"{file}: the table cannot be written: {error_.strerror}") from error_


def reading(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the errors mean for readers of other reports, in sentences."""
    known = [row | {"error": _error_of(row)} for row in map(dict, rows) if row["error"] is not None]
    waits = [row for row in known if row["unit"] == "s" and row["column"] == "wait_s"]
    rates = [row for row in known if row["unit"] == "bytes/s"]
    said = []
    if waits:
        worst = max(waits, key=lambda row: abs(row["error"]))
        said.append(
            f"The error of a time to first byte is at most {numbers.seconds(abs(worst['error']))} ({quantity(worst['quantity'])} "
            f"of {worst['line']}){_of_the_lab(worst)}. This part of a wait comes from the machine. "
            "A difference of that size between runs on different machines is no difference of the registries."
        )
    if rates:
        worst = max(rates, key=lambda row: abs(row["error"] / row["truth"]))
        said.append(
            f"The error of a rate is at most {numbers.percent(abs(worst['error'] / worst['truth']))} "
            f"({quantity(worst['quantity'])} of {worst['line']})."
        )
    return [
        *said,
        "Configurations of one run share these errors, so a comparison within the run cancels most of them. "
        "A single duration has them in full.",
    ]


def _of_the_lab(row: Mapping[str, Any]) -> str:
    """The error of plain sockets on the same line."""
    if row["reference"] is None:
        return ""
    off = row["reference"] - row["truth"]
    return f"; the error of plain sockets there is {numbers.seconds(abs(off))}"
