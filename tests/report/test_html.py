"""Nothing that a registry says becomes markup, and none of it breaks the page's layout."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from IPython.core.formatters import DisplayFormatter

from pullbench.report.render.html import (
    Column,
    Html,
    Row,
    clipped,
    css,
    escape,
    notebook_css,
    short_digests,
    table,
    tag,
    unboxed,
    visible,
)

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></style></table><h1>owned",
    "&lt;script&gt; &amp;",
    "{{ 7 * 7 }} {% raw %}",
    "a\x00b\x1b[31mred\x07",
    "safe\u202egnp.exe\u2066 \u200b\ufeff\u2028",
    "x" * 10_000,
    "<" * 10_000,
]


class Page(HTMLParser):
    """What a browser would see: elements, attributes and text."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: set[str] = set()
        self.said: list[str] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append(name)
        self.attributes |= {key for key, _ in attributes}

    def handle_data(self, data: str) -> None:
        self.said.append(data)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.promise("foreign text", "Foreign text in an HTML table stays text")
def test_escape_keeps_hostile_text_text_in_a_table(text: str) -> None:
    made = table([Column(title=text)], [Row(contents=[text])], caption=text)
    page = Page(made)
    assert page.elements == ["div", "table", "caption", "thead", "tr", "th", "tbody", "tr", "td", "span"]
    assert page.attributes <= {"class", "tabindex", "role", "aria-label", "scope", "title"}


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.promise("foreign text", "Foreign text in an HTML attribute stays text")
def test_tag_keeps_hostile_text_text_in_an_attribute(text: str) -> None:
    page = Page(tag("p", "fine", title=text))
    assert (page.elements, page.attributes, page.said) == (["p"], {"title"}, ["fine"])


@pytest.mark.promise("foreign text", "HTML shows control characters as their code points")
def test_visible_writes_out_characters_that_steer_the_display() -> None:
    assert visible("safe\u202egnp.exe") == "safe‹U+202E›gnp.exe"
    assert visible("a\x00b\u200bc\ufeff") == "a‹U+0000›b‹U+200B›c‹U+FEFF›"
    assert visible("one\n\ttwo") == "one  two"


def test_ordinary_text_of_any_script_is_left_alone() -> None:
    assert visible("репозиторий 镜像 صورة é 🐳") == "репозиторий 镜像 صورة é 🐳"


def test_long_text_is_clipped_and_whole_in_its_title_up_to_a_bound() -> None:
    made = clipped("x" * 10_000)
    assert "".join(Page(made).said) == "x" * 239 + "…"
    assert len(made) < 2_500
    assert "(10,000 characters)" in made


def test_short_text_has_no_title() -> None:
    assert "title" not in clipped("short")


def test_markup_of_our_own_is_not_escaped_twice() -> None:
    assert tag("p", tag("b", "<")) == "<p><b>&lt;</b></p>"
    assert escape(Html("<i>")) == "<i>"


def test_an_attribute_of_none_or_false_is_left_out() -> None:
    assert tag("p", hidden=False, title=None, class_="a", aria_label="b") == '<p class="a" aria-label="b"></p>'
    assert tag("p", hidden=True) == "<p hidden></p>"


def test_nothing_to_show_is_nothing_to_jupyter() -> None:
    show: Any = DisplayFormatter().format
    assert show(Html()) == ({}, {})
    assert "<b></b>" in show(Html("<b></b>"))[0]["text/html"]


def test_an_output_has_a_box_in_a_notebook_and_none_on_the_page() -> None:
    boxed = tag("p", "here")._repr_html_()
    assert boxed == '<div class="pb output"><p>here</p></div>'
    assert unboxed(boxed) == "<p>here</p>"
    assert unboxed("<div>of somebody else</div>") == "<div>of somebody else</div>"


def test_the_style_of_a_notebook_is_for_our_outputs_and_before_jupyters_own() -> None:
    sheet = notebook_css(css())
    selectors = [part.strip() for part in re.findall(r"([^{}]+)\{", re.sub(r"/\*.*?\*/", "", sheet, flags=re.DOTALL))]
    plain = [part for part in selectors if not part.startswith("@")]
    assert len(plain) > 50
    assert all(":is(.pb, #pb)" in one for part in plain for one in re.split(r",(?![^()]*\))", part)), (
        "styles nothing else"
    )


def test_the_colours_of_a_notebook_follow_its_theme_and_without_one_the_systems() -> None:
    colours = "--pb-ink: #e7eaee"
    dark = [part for part in notebook_css(css()).split("\n") if colours in part]
    assert len(dark) == 2 and colours in css()
    assert dark[0].startswith("@media (prefers-color-scheme: dark)") and "not([data-jp-theme-light]" in dark[0]
    assert 'body[data-jp-theme-light="false"]' in dark[1]


def test_a_digest_is_cut_and_its_whole_is_in_the_title() -> None:
    digest = "sha256:" + "0123456789abcdef" * 4
    made = short_digests(f"<b> {digest}, and {digest}")
    assert made.count(f'title="{digest}"') == 2 and made.count(">sha256:0123456789ab…<") == 2
    assert "&lt;b&gt;" in made
    assert short_digests("sha256:0123 <b>") == "sha256:0123 <b>"
    assert short_digests(digest + "x" * 300) == digest + "x" * 300, "long text is clipped as all other"
