"""The pages of guards cannot rot: what they name is there, and what is there is what they say."""

import ast
import functools
from pathlib import Path

import pytest

from tests.guards import ROOT, Guard
from tests.guards.pages import EVERY, PAGES, Page

every_guard = pytest.mark.parametrize("guard", EVERY, ids=lambda guard: f"{guard.function}-{guard.test[-40:]}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path.name)
def test_a_page_of_guards_is_made_from_their_list(page: Page) -> None:
    assert page.path.read_text(encoding="utf-8") == page.expected(), "python -m tests.guards tables"


@every_guard
def test_a_guard_stands_once_in_its_file_and_its_function_is_there(guard: Guard) -> None:
    text = (ROOT / guard.file).read_text(encoding="utf-8")
    assert text.count(guard.whole) == 1
    assert guard.whole != guard.without
    assert guard.function.rpartition(".")[2] in _names_in(ROOT / guard.file)
    assert ast.parse(text.replace(guard.whole, guard.without)).body, "without the guard it is still Python"


@every_guard
def test_the_test_of_a_guard_is_there(guard: Guard) -> None:
    file, _, name = guard.test.partition("::")
    assert name in _tests_of(ROOT / file)


@functools.cache
def _names_in(path: Path) -> set[str]:
    """Of every function and class."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }


@functools.cache
def _tests_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
