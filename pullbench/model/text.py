"""Text for people: foreign text that steers no terminal, sizes in bytes, and what a misspelt name may mean."""

import difflib
import re
from collections.abc import Iterable

MAX_TEXT = 300

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]I?)?B?\s*", re.IGNORECASE)


def parse_bytes(text: str) -> int:
    """Read `50GB`, `64 MiB` or `1000`; raises ValueError with the accepted form."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text}' is not a size: a number with B, kB, MB, GB, TB, KiB, MiB, GiB or TiB")
    return round(float(found[1]) * _UNITS[(found[2] or "").upper()])


def format_bytes(size: float) -> str:
    """Three significant digits in decimal units: `49.2 MB`."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(size) < 999.5 or unit == "TB":
            digits = 0 if unit == "B" or abs(size) >= 99.95 else 1 if abs(size) >= 9.995 else 2
            return f"{size:.{digits}f} {unit}"
        size /= 1000
    raise AssertionError("unreachable")


def printable(text: object, mark: str = "�") -> str:
    """Text without control, direction and invisible characters, which could move a cursor, set a title or hide a line.

    `mark` replaces each of them.
    """
    return "".join(character if character.isprintable() else mark for character in str(text))


def clean(text: object, limit: int = MAX_TEXT) -> str:
    """One short printable line of a foreign text, cut with … at the limit."""
    line = " ".join(printable(str(text)[: 4 * limit], " ").split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 image`, `2 images`."""
    return f"{number} {noun}" if number == 1 else f"{number} {plural or f'{noun}s'}"


def did_you_mean(name: str, known: Iterable[str], most: int = 8) -> str:
    """`did you mean 'docker'?` where one of the known names is close, else what there is: `there are: eu, us`."""
    names = list(dict.fromkeys(known))
    by_lower_case = {each.lower(): each for each in reversed(names)}
    if close := difflib.get_close_matches(name.lower(), by_lower_case, n=1):
        return f"did you mean '{by_lower_case[close[0]]}'?"
    if not names:
        return "there is none"
    return f"there are: {', '.join(names[:most])}{' …' if len(names) > most else ''}"
