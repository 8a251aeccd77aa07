"""The guards of pullbench: what keeps each promise, and the test that fails when it is taken out.

`python -m tests.guards prove` takes each guard out of a copy of the code and runs its test there; `tables` prints the
tables of docs/security.md and docs/robustness.md.
"""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """One place in the code that keeps a promise."""

    against: str
    """The promise, or the fault that it holds against; a row's first cell."""
    so: str = ""
    """What comes of the fault: code, exit code, message."""
    file: str
    function: str
    """For people: `Class.method` or the name of a constant."""
    whole: str
    """The text in the file that is the guard, or its decisive part; it stands there once."""
    without: str
    """What stands there when it is taken out."""
    test: str
    """The file of the test and its name, as pytest takes it."""
    needs: str = ""
    """What the test needs beyond Python: `-m integration` for pytest."""


def table(guards: tuple[Guard, ...], heads: tuple[str, ...]) -> str:
    """The guards as a table in Markdown; one that has no `so` anywhere has no such column."""
    has_so = any(guard.so for guard in guards)
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    previous = ""
    for guard in guards:
        first = "" if guard.against == previous else guard.against
        cells = [first, *([guard.so] if has_so else []), f"`{guard.function}` in `{guard.file}`", f"`{guard.test}`"]
        previous = guard.against
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
