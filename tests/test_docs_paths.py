"""Every file of ours that a page names in backticks is there; tests/cli/test_docs.py follows the links."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")} - {ROOT / "CHANGELOG.md"})
"""A changelog names files of the past."""
_OURS = (
    "pullbench",
    "flows",
    "tasks",
    "tests",
    "tools",
    "docs",
    "specs",
    "notebooks",
    "monitoring",
    "benchmarks",
    "deploy",
)
_TO_BE_MADE = ("pullbench/engines/crane.py", "tests/engines/test_crane.py")
"""What a reader of docs/add-an-engine.md makes."""
_SPAN = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"[\w.*-]+(/[\w.*-]+)*/?")


def named(line: str) -> Iterator[str]:
    """What looks like a path in the backticks of a line; of `file::test` the file."""
    for span in _SPAN.findall(line):
        path = span.partition("::")[0]
        if _PATH.fullmatch(path) and ("/" in path or path.endswith(".py")):
            yield path


def is_ours(path: str) -> bool:
    """Whether it starts with a top-level directory of ours or with a room of pullbench/, or names a module."""
    first = path.partition("/")[0]
    return first in _OURS or (ROOT / "pullbench" / first).is_dir() or path.endswith(".py")


def is_there(path: str) -> bool:
    """From the root, or as the pages write it of rooms: `bench/trial.py` is in pullbench/; a bare `trial.py` is anywhere."""
    if any(next(folder.glob(path.rstrip("/")), None) for folder in (ROOT, ROOT / "pullbench")):
        return True
    return "/" not in path and any(next((ROOT / top).rglob(path), None) for top in _OURS)


def missing(page: Path) -> list[str]:
    found = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        gone = [path for path in named(line) if is_ours(path) and path not in _TO_BE_MADE and not is_there(path)]
        found += [f"{page.relative_to(ROOT)}:{number}: {path}" for path in gone]
    return found


def test_every_file_of_ours_that_a_page_names_is_there() -> None:
    gone = [line for page in PAGES for line in missing(page)]
    assert not gone, "\n" + "\n".join(gone)


def test_what_looks_like_a_path_is_found_with_its_line(tmp_path: Path) -> None:
    page = ROOT / "docs" / "x.md"
    assert list(named("see `bench/no.py`, `tests/a.py::test_b`, `a b/c.py` and `no.py`")) == [
        "bench/no.py",
        "tests/a.py",
        "no.py",
    ]
    assert is_ours("bench/no.py") and not is_there("bench/no.py")
    assert is_there("bench/") and is_there("errors.py") and is_there("tests/test_*.py")
    assert not is_ours("library/nginx") and not page.exists()


def test_the_modules_that_mutmut_changes_are_there() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutmut"]
    assert [path for path in settings["only_mutate"] if not (ROOT / path).is_file()] == []
