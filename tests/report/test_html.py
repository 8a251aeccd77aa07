"""Nothing that a registry says becomes markup, and none of it breaks the page's layout."""

from html.parser import HTMLParser

import pytest

from pullbench.report.render.html import Column, Html, Row, clipped, escape, short_digests, table, tag, visible

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
    assert Html()._repr_html_() is None
    assert Html("<b></b>")._repr_html_() == "<b></b>"


def test_a_digest_is_cut_and_its_whole_is_in_the_title() -> None:
    digest = "sha256:" + "0123456789abcdef" * 4
    made = short_digests(f"<b> {digest}, and {digest}")
    assert made.count(f'title="{digest}"') == 2 and made.count(">sha256:0123456789ab…<") == 2
    assert "&lt;b&gt;" in made
    assert short_digests("sha256:0123 <b>") == "sha256:0123 <b>"
    assert short_digests(digest + "x" * 300) == digest + "x" * 300, "long text is clipped as all other"
