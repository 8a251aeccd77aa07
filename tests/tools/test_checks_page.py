"""The page of the checks says what the code does."""

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest

from pullbench.model.finding import Status
from pullbench.preflight.check import Check, always
from pullbench.preflight.checks import CHECKS
from tools import checks_page as document

PAGE = Path(__file__).parents[2] / "docs" / "checks.md"
GIVES = {
    "passed": Status.PASS,
    "warned": Status.WARN,
    "failed": Status.FAIL,
    "skipped": Status.SKIP,
    "errored": Status.ERROR,
}
every_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)


def test_the_page_is_made_from_the_code() -> None:
    assert PAGE.read_text(encoding="utf-8") == document.checks_page(), "python -m tools.checks_page > docs/checks.md"


@every_check
def test_every_check_has_its_entry(check: Check[Any, Any]) -> None:
    assert check.looks_at.endswith((".", ")")), "a sentence"
    assert check.advice.endswith((".", ")", "`")), "a sentence"
    assert {Status.PASS} < set(check.statuses), "a check that cannot fail, warn or skip says nothing"
    texts = [check.looks_at, check.advice, *check.statuses.values()]
    assert not [text for text in texts if not text.strip() or "\n" in text]


def statuses_in(check: Check[Any, Any]) -> set[Status]:
    """The statuses that a check's module speaks of: by a function of check.py, or by name."""
    module = inspect.getmodule(check.judge)
    assert module is not None
    found: set[Status] = set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in GIVES:
            found.add(GIVES[node.func.id])
        if isinstance(node, ast.keyword) and node.arg == "status":
            names = [each for each in ast.walk(node.value) if isinstance(each, ast.Attribute)]
            found |= {Status[each.attr] for each in names if each.attr in Status.__members__}
    return found | ({Status.SKIP} if check.skips is not always else set())


@every_check
def test_the_statuses_of_the_page_are_those_that_the_check_can_give(check: Check[Any, Any]) -> None:
    assert statuses_in(check) == set(check.statuses)
