"""The page of the error codes says what the code says, and has an anchor for each code and for nothing else."""

import re
from pathlib import Path

import pytest

from pullbench.errors import ErrorCode, classify
from pullbench.model.error_guide import GUIDES, address_of, remedies
from tests.engines.error_texts import TEXTS
from tools.errors_page import errors_page

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "errors.md"


def sections() -> dict[str, str]:
    """The text below each heading that is an anchor."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_page_is_made_from_the_code() -> None:
    assert PAGE.read_text(encoding="utf-8") == errors_page(), "make docs"


def test_every_code_has_an_anchor_and_every_anchor_is_a_code() -> None:
    assert list(sections()) == [code.value for code in ErrorCode]


@pytest.mark.parametrize("code", ErrorCode, ids=str)
def test_a_section_has_the_meaning_every_cause_and_every_remedy(code: ErrorCode) -> None:
    path, _, anchor = address_of(code).partition("#")
    assert ROOT / path == PAGE
    text = sections()[anchor]
    assert GUIDES[code].meaning in text
    assert all(f"- {cause}\n" in text for cause in GUIDES[code].causes)
    assert all(remedy in text for _, remedy in remedies(code))


def test_every_text_of_a_client_is_read_as_the_code_of_its_section_and_every_client_is_there() -> None:
    shown: set[tuple[str, str]] = set()
    for code, text in sections().items():
        for block in re.findall(r"```text\n(.*?)```", text, re.DOTALL):
            for line in block.splitlines():
                client, _, printed = line.partition(": ")
                assert classify(printed) == code
                shown.add((code, client))
    assert shown == {(seen.code, seen.client) for seen in TEXTS.read()}
