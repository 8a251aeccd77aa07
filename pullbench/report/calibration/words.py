"""Rows of a calibration's document in words and units: the same in console, report and Markdown."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pullbench.errors import IncompleteError, UsageError
from pullbench.report.core import numbers
from pullbench.report.core.slo_words import VERDICT_WORDS

HEADINGS = ("quantity", "line", "truth", "measured", "error", "95% interval", "plain sockets", "goal", "verdict")
VERDICTS = VERDICT_WORDS
BEGIN, END = "<!-- calibration: begin -->", "<!-- calibration: end -->"
_VALUES: Mapping[str, Callable[[float], str]] = {
    "s": lambda value: f"{value * 1e3:,.2f} ms",
    "bytes/s": lambda value: f"{value / 1e6:,.2f} MB/s",
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
    return share if row["unit"] == "bytes/s" else f"{sign}{_VALUES['s'](abs(found))} ({share})"


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


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The lines of a Markdown table."""
    alignment = "|".join("---:" if name in HEADINGS[2:7] else "---" for name in HEADINGS)
    return [f"| {' | '.join(HEADINGS)} |", f"|{alignment}|", *(f"| {' | '.join(cells(row))} |" for row in rows)]


def markdown(document: Mapping[str, Any]) -> str:
    """The table of a calibration's document as Markdown, with a line that says which run it is."""
    lines = table(document["calibration"]["rows"])
    seed, at = document["calibration"]["seed"], document["started_at"][:16].replace("T", " ")
    machine = document["calibration"]["machine"]
    said = f"Run `{document['run_id']}`, {at} UTC, `--seed {seed}`, {machine}. {document['headline']['sentence']}"
    return "\n".join([*lines, "", said]) + "\n"


def check_place(file: Path) -> None:
    """Raises UsageError for a file that a table cannot be put into without loss: it has other content, and no marks."""
    if not file.resolve().parent.is_dir():
        raise UsageError(f"--markdown {file}: there is no folder {file.parent}")
    there = file.read_bytes().decode("utf-8", "replace").strip() if file.is_file() else ""
    _, begun, rest = there.partition(BEGIN)
    if file.is_dir() or (there and not (begun and END in rest)):
        raise UsageError(
            f"--markdown {file}: is there already, and would be lost: put the lines {BEGIN} and {END} where the table shall "
            "stand, or name a new file"
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
        raise IncompleteError(f"{file}: the table cannot be written there: {error_.strerror}") from error_


def reading(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the errors mean for whoever reads a report, in sentences."""
    waits = [row for row in rows if row["unit"] == "s" and row["column"] == "wait_s" and row["error"] is not None]
    rates = [row for row in rows if row["unit"] == "bytes/s" and row["error"] is not None]
    said = []
    if waits:
        worst = max(waits, key=lambda row: abs(row["error"]))
        said.append(
            f"A time to first byte was off by at most {numbers.seconds(abs(worst['error']))} here ({worst['quantity']} of "
            f"{worst['line']}){_of_the_lab(worst)}. A report's waits carry that much of the machine's own, so a difference of "
            "that size between two runs on different machines says nothing of the registries."
        )
    if rates:
        worst = max(rates, key=lambda row: abs(row["error"] / row["truth"]))
        said.append(
            f"A rate was off by at most {numbers.percent(abs(worst['error'] / worst['truth']))} ({worst['quantity']} of "
            f"{worst['line']})."
        )
    return [
        *said,
        "Settings of one run share these errors, and a comparison within it cancels most of them; a duration as such does not.",
    ]


def _of_the_lab(row: Mapping[str, Any]) -> str:
    """What plain sockets saw of the same error."""
    if row["reference"] is None:
        return ""
    off = row["reference"] - row["truth"]
    return f", where plain sockets were off by {numbers.seconds(abs(off))}"
