"""The page of the checks says what the code does."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pullbench.model.finding import Status
from pullbench.preflight import runner
from pullbench.preflight.check import BROKEN, COULD_NOT_RUN, TOO_SLOW, WRONG_SPEC, Check, always
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


_MAKES_A_PROBLEM = re.compile(r"\b(warned|failed|errored)\b")


def problems_in(module: Any) -> Iterator[ast.Call]:
    """Every call in a module that makes a finding with a problem, also `(failed if … else warned)(…)`."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.IfExp):
            yield from [node] if _MAKES_A_PROBLEM.search(ast.unparse(node.func)) else []


def keyword(call: ast.Call, name: str) -> str | None:
    """The source of a keyword argument; None without it."""
    return next((ast.unparse(each.value) for each in call.keywords if each.arg == name), None)


def module_of(check: Check[Any, Any]) -> Any:
    module = inspect.getmodule(check.judge)
    assert module is not None
    return module


@every_check
def test_every_kind_of_a_check_has_a_cause_and_a_remedy_and_the_name_of_its_check(check: Check[Any, Any]) -> None:
    for name, kind in check.kinds.items():
        assert re.fullmatch(rf"{check.id}-[a-z0-9]+(-[a-z0-9]+)*", name)
        assert kind.cause.endswith(".") and kind.remedy.endswith((".", ")."))
        assert "\n" not in kind.cause + kind.remedy


@every_check
def test_the_kinds_of_a_check_are_those_that_it_gives_its_findings(check: Check[Any, Any]) -> None:
    module = module_of(check)
    code = inspect.getsource(module).partition("\nCHECK = ")[0]
    constants = {name: value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}
    of_kinds = {name: value for name, value in constants.items() if value in check.kinds}
    used = {value for name, value in of_kinds.items() if len(re.findall(rf"\b{name}\b", code)) > 1}
    assert used == set(check.kinds)
    given = {keyword(call, "kind") for call in problems_in(module)} - {None, "kind"}
    assert given <= set(of_kinds)


def test_the_runner_gives_each_problem_of_its_own_a_kind() -> None:
    kinds = {keyword(call, "kind") for call in problems_in(runner)}
    assert kinds == {None, "TOO_SLOW", "WRONG_SPEC", "BROKEN"}, "one has the code of its fault"
    assert {TOO_SLOW, WRONG_SPEC, BROKEN} == set(COULD_NOT_RUN)


def test_every_check_and_kind_has_an_anchor_and_every_anchor_is_one() -> None:
    anchors = re.findall(r"^####? (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    names = [name for check in CHECKS for name in (check.id, *check.kinds)] + list(COULD_NOT_RUN)
    assert sorted(anchors) == sorted(names) and len(set(names)) == len(names)
