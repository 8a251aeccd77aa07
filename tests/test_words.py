"""README.md and docs/ are short and plain: they use the field's terms, and the README's sentences have at most 30 words."""

import re
from pathlib import Path

import pytest

from tests.words import long_sentences, plain_words_faults, prose_of_markdown, words_of

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_WRITTEN_BY_A_COMMAND = re.compile(r"<!-- \w+: begin -->.*?<!-- \w+: end -->", re.DOTALL)
"""Tables of what a command measured: their words are tested where they are made."""


def prose(page: Path) -> str:
    return prose_of_markdown(_WRITTEN_BY_A_COMMAND.sub("", page.read_text(encoding="utf-8")))


def test_the_readme_has_at_most_950_words() -> None:
    links_cut = re.sub(r"\]\([^)]*\)", "]", README.read_text(encoding="utf-8"))
    assert len(words_of(links_cut)) <= 950, "code counts too"


def test_no_sentence_of_the_readme_has_more_than_30_words() -> None:
    assert long_sentences(prose(README)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_uses_the_terms_of_the_field(page: Path) -> None:
    faults = plain_words_faults(prose(page))
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize(
    "text",
    [
        "8 pulls at once",
        "an image every 12.0 ms",
        "12 settings",
        "Planned out: 3",
        "not proven either way",
        "The client was at its limit.",
        "the load that held",
        "a folder of its own",
    ],
)
def test_a_term_that_has_a_plainer_one_is_found(text: str) -> None:
    assert plain_words_faults(text)


@pytest.mark.parametrize(
    "text",
    [
        "concurrency 8 without a proxy: 82 images/s",
        "the saturation point (knee)",
        "a notebook cell",
        "a notification block",
        "client-limited: this machine was the bottleneck",
        "a gateway, a one-way trip, a standard",
    ],
)
def test_a_plain_term_is_no_fault(text: str) -> None:
    assert plain_words_faults(text) == []


def test_code_and_targets_of_links_are_no_prose() -> None:
    page = "See [the page](folder/cells.md) of `cells`.\n\n```\npullbench at once\n```\n<!-- told -->\n"
    assert plain_words_faults(prose_of_markdown(page)) == []


def test_a_long_sentence_is_found_and_a_list_is_many_sentences() -> None:
    word = "word "
    assert long_sentences(word * 31) and not long_sentences(word * 30)
    assert not long_sentences(f"{word * 20}. {word * 20}")
    assert not long_sentences(f"- {word * 20}\n- {word * 20}")
    assert not long_sentences(f"| {word * 20} | {word * 20} |")
