"""The tables of promises in docs/security.md and docs/robustness.md: `python -m tools.promises`.

A test that guards a promise has a marker: `@pytest.mark.promise("names", "A digest from a registry becomes no path")`. The
first argument is the table, the second the row. A table is between `<!-- promises: names -->` and `<!-- end -->`. Rows keep
their order; a new promise is added at the end, to be moved by hand.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "docs" / "security.md", ROOT / "docs" / "robustness.md")

_TABLE = re.compile(r"<!-- promises: (?P<table>[^>]+) -->\n(?P<rows>.*?)<!-- end -->\n", re.DOTALL)
_HEAD = "| promise | test |\n|---|---|\n"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Promise:
    """One marker on one test."""

    table: str
    text: str
    test: str
    """File and name, in pytest's format."""


def promises(root: Path = ROOT) -> list[Promise]:
    """All promises of the tests. Raises ValueError for a marker that is not on a test, or does not have two texts."""
    found: list[Promise] = []
    for path in sorted((root / "tests").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "mark.promise" in source:
            found += promises_in(source, path.relative_to(root).as_posix())
    return found


def promises_in(source: str, file: str) -> Iterator[Promise]:
    """The promises of one test file."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for marker in (each for each in node.decorator_list if ast.unparse(each).startswith("pytest.mark.promise")):
            where = f"{file}:{marker.lineno}"
            is_test = node.name.startswith("test_") and not isinstance(node, ast.ClassDef) and node in tree.body
            if not is_test or not Path(file).name.startswith("test_"):
                raise ValueError(f"{where}: the marker `promise` is not on a test")
            match marker:
                case ast.Call(args=[ast.Constant(value=str(table)), ast.Constant(value=str(text))], keywords=[]):
                    if "|" in text:
                        raise ValueError(f"{where}: a promise cannot contain '|', which ends a table cell")
                    yield Promise(table=table, text=text, test=f"{file}::{node.name}")
                case _:
                    raise ValueError(f'{where}: write promise("table", "text"), two plain texts')


def tables_of(page: str) -> list[str]:
    """The names of a page's tables."""
    return [found["table"] for found in _TABLE.finditer(page)]


def refreshed(page: str, promised: Iterable[Promise]) -> str:
    """The page with its tables filled from the promises."""
    every = sorted(promised)

    def filled(found: re.Match[str]) -> str:
        tests: dict[str, list[str]] = {}
        for each in every:
            if each.table == found["table"]:
                tests.setdefault(each.text, []).append(f"`{each.test}`")
        shown = [line.split(" | ")[0].removeprefix("| ") for line in found["rows"].splitlines()]
        texts = sorted(tests, key=lambda text: shown.index(text) if text in shown else len(shown))
        rows = "".join(f"| {text} | {', '.join(tests[text])} |\n" for text in texts)
        return f"<!-- promises: {found['table']} -->\n\n{_HEAD}{rows}\n<!-- end -->\n"

    return _TABLE.sub(filled, page)


def main() -> None:
    promised = promises()
    known = {table for page in PAGES for table in tables_of(page.read_text(encoding="utf-8"))}
    if lost := [each for each in promised if each.table not in known]:
        raise SystemExit(f"{lost[0].test}: no page has the table '{lost[0].table}', only {', '.join(sorted(known))}")
    for page in PAGES:
        page.write_text(refreshed(page.read_text(encoding="utf-8"), promised), encoding="utf-8")


if __name__ == "__main__":
    main()
