"""The pages of promises and the tests that keep them say the same."""

from pathlib import Path

import pytest

from tools.promises import PAGES, Promise, promises, promises_in, refreshed, tables_of

PAGE = """\
# Page

<!-- promises: names -->

| promise | test |
|---|---|
| Second | `tests/test_a.py::test_two` |
| Gone | `tests/test_a.py::test_gone` |

<!-- end -->

Text.
"""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_of_promises_says_what_the_tests_promise(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == refreshed(text, promises()), "python -m tools.promises"


def test_every_promise_has_its_table_and_every_table_a_promise() -> None:
    tables = [table for page in PAGES for table in tables_of(page.read_text(encoding="utf-8"))]
    assert sorted(tables) == sorted({each.table for each in promises()}), "a table has one page"


def test_a_table_keeps_its_order_drops_what_no_test_promises_and_adds_what_is_new() -> None:
    made = refreshed(
        PAGE,
        [
            Promise(table="names", text="First", test="tests/test_a.py::test_one"),
            Promise(table="names", text="Second", test="tests/test_b.py::test_two"),
            Promise(table="names", text="Second", test="tests/test_a.py::test_two"),
            Promise(table="others", text="Elsewhere", test="tests/test_a.py::test_three"),
        ],
    )
    rows = [line for line in made.splitlines() if line.startswith("| ")]
    assert rows == [
        "| promise | test |",
        "| Second | `tests/test_a.py::test_two`, `tests/test_b.py::test_two` |",
        "| First | `tests/test_a.py::test_one` |",
    ]
    assert made.startswith("# Page\n") and made.endswith("\nText.\n")


def test_a_test_may_keep_several_promises() -> None:
    source = '@pytest.mark.promise("a", "x")\n@pytest.mark.promise("b", "y")\ndef test_it(): ...\n'
    assert [(each.table, each.text, each.test) for each in promises_in(source, "tests/test_a.py")] == [
        ("a", "x", "tests/test_a.py::test_it"),
        ("b", "y", "tests/test_a.py::test_it"),
    ]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("tests/test_a.py", '@pytest.mark.promise("a", "x")\ndef helper(): ...\n'),
        ("tests/test_a.py", '@pytest.mark.promise("a", "x")\nclass test_class: ...\n'),
        ("tests/test_a.py", 'class TestIt:\n    @pytest.mark.promise("a", "x")\n    def test_it(self): ...\n'),
        ("tests/samples.py", '@pytest.mark.promise("a", "x")\ndef test_it(): ...\n'),
        ("tests/test_a.py", '@pytest.mark.promise("a")\ndef test_it(): ...\n'),
        ("tests/test_a.py", '@pytest.mark.promise("a", f"{x}")\ndef test_it(): ...\n'),
        ("tests/test_a.py", '@pytest.mark.promise("a", "x | y")\ndef test_it(): ...\n'),
    ],
)
def test_a_marker_that_is_on_no_test_or_is_no_plain_text_is_an_error(file: str, source: str) -> None:
    with pytest.raises(ValueError, match=rf"{file}:"):
        list(promises_in(source, file))
