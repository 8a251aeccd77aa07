"""README.md and docs/ are short and plain: they use the field's terms, and no sentence has more than 30 words."""

import re
from pathlib import Path

import pytest

from tests.words import plain_words_faults, words_in

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "reports/README.md"))]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
MOST_WORDS_OF_THE_README = 950
_FROM_THE_CODE = ("checks.md", "errors.md", "factors.md")
"""Their terms are tested here; how long the sentences in their tables and lists are is the code's own matter."""

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_MADE_BY_A_COMMAND = re.compile(r"<!-- \w+: begin -->.*?<!-- \w+: end -->", re.DOTALL)
"""Tables of what a command measured: their words are tested where they are made."""
_METRIC = re.compile(r"^\| `pullbench_\w+` \|.*$", re.MULTILINE)
"""A row of the table of metrics, which is the catalog's own text."""
_FENCED = re.compile(r"^(```+).*?^\1$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_HEADING = re.compile(r"^#+ .*$", re.MULTILINE)


def prose_of(markdown: str) -> str:
    """A page without code blocks, comments, targets of links and what a command writes; a heading is a paragraph."""
    for left_out in (_MADE_BY_A_COMMAND, _COMMENT, _FENCED, _METRIC):
        markdown = left_out.sub("\n", markdown)
    return _HEADING.sub(lambda heading: f"\n{heading[0]}\n", _LINK.sub(r"\1", markdown))


def test_the_readme_is_short_with_its_code() -> None:
    text = _LINK.sub(r"\1", README.read_text(encoding="utf-8"))
    assert words_in(text) <= MOST_WORDS_OF_THE_README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_uses_the_terms_of_the_field_in_short_sentences(page: Path) -> None:
    faults = plain_words_faults(prose_of(page.read_text(encoding="utf-8")))
    if page.name in _FROM_THE_CODE:
        faults = [fault for fault in faults if "(write: " in fault]
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize("text", ["8 pulls at once", "## Cells", "| told | x |", "[the folder](x.md)", "word " * 31])
def test_a_term_of_no_field_or_a_long_sentence_is_found(text: str) -> None:
    assert plain_words_faults(prose_of(text))


@pytest.mark.parametrize(
    "text",
    [
        "See [the page](folder/cells.md) of `cells`.\n",
        "```\npullbench at once\n```\n",
        "<!-- told -->\n",
        "<!-- benchmarks: begin -->\n| at once |\n<!-- benchmarks: end -->\n",
        "## " + "word " * 20 + "\n" + "word " * 20,
        "The saturation point (knee) is at concurrency 8.",
    ],
)
def test_code_and_what_a_command_writes_are_no_prose(text: str) -> None:
    assert plain_words_faults(prose_of(text)) == []
