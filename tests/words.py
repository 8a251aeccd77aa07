"""The glossary as a check: words that readers stumble over, and sentences that are too long."""

import re
from html.parser import HTMLParser

MOST_WORDS = 30
"""Of a sentence."""

_WORDS = {
    r"\bat once\b": "concurrency N, N concurrent pulls",
    r"×\d": "concurrency N",
    r"\bimage every\b": "images/s",
    r"\bpulls a second\b": "pulls/s",
    r"\bcells?\b": "configuration",
    r"\bsettings?\b": "configuration",
    r"(?<!credential )(?<!secret )\bblocks?\b": "repetition",
    r"\bplanned out\b": "excluded (reason)",
    r"\bobjectives?\b": "SLO",
    r"\b(un)?proven\b|\bproves?\b|\bproof takes\b": "significant, inconclusive (needs about N more)",
    r"\bcannot (be )?(tell|told|say)\b": "inconclusive (needs about N more)",
    r"\bways?\b": "route",
    r"\bat its limit\b": "client-limited",
    r"\b(holds|held)\b": "meets, sustained",
    r"\bcarr(y|ies|ied)\b": "handle",
    r"(?<!saturation point \()\bknees?\b": "saturation point (knee)",
    r"\btold\b": "reported",
    r"\b(stands?|stood)\b": "is, are",
    r"\bbeside\b": "compared with",
    r"\breckon\w*": "compute",
    r"\bmend\w*": "fix",
    r"\b(brings?|brought)\b": "download",
    r"\basked\b": "requested, target",
    r"\bfolders?\b": "directory",
    r"\boften claimed\b": "rules of thumb",
    r"\blet .{1,40} be\b": "a plain verb",
    r"\bthat which\b": "what",
    r"\balike\b": "the same",
}
"""The left column of the glossary, as expressions, each with what to write in its place."""
_ENDS = re.compile(r"(?<=[.!?])[\"')\]]*\s+")
_NOT_PROSE = re.compile(r"```.*?```|`[^`\n]*`|https?://\S+", re.DOTALL)
_TABLE_LINE = re.compile(r"^\s*\|.*|^.*\S {2,}\S.*", re.MULTILINE)
_NAME = re.compile(r"\S+(?: · (?:concurrency )?\S+)+")
_ITEM = re.compile(r"^\s*([-*•]|\d+\.)\s+", re.MULTILINE)
_EMPTY = ("br", "img", "input", "meta", "link", "path", "use")
_DATA = ("tr", "desc")
"""Rows of numbers: of a table, or of the description of a drawing, which lists them for who cannot see it."""
_BREAKS = ("p", "li", "dt", "dd", "div", "h1", "h2", "h3", "figcaption", "caption", "summary", "title", "text")


def plain_words_faults(text: str) -> list[str]:
    """What a plain text has of the glossary's left column, and its sentences of more than 30 words.

    Code in backticks and addresses are left out. Lines of tables, which start with `|` or have columns of spaces, are
    in no sentence. An empty line, a list item and a heading end a sentence.
    """
    prose = _NOT_PROSE.sub("CODE", text)
    faults = [
        f"{found[0]!r} (write: {better}) in {_around(prose, found)!r}"
        for expression, better in _WORDS.items()
        for found in re.finditer(expression, prose, re.IGNORECASE)
    ]
    return faults + [
        f"{count} words: {sentence!r}" for sentence in sentences(prose) if (count := words_in(sentence)) > MOST_WORDS
    ]


def sentences(text: str) -> list[str]:
    """The sentences of a plain text, without the lines of its tables."""
    paragraphs = re.split(r"\n\s*\n", _ITEM.sub("\n\n", _TABLE_LINE.sub("\n", text)))
    return [part for each in paragraphs for part in _ENDS.split(" ".join(each.split())) if part]


def words_in(sentence: str) -> int:
    """How many words it has: each has a letter or a digit. A configuration's name, `docker · eu · direct`, is one word."""
    sentence = _NAME.sub("NAME", sentence)
    return sum(any(letter.isalnum() for letter in word) for word in sentence.split())


def text_of(html: str) -> str:
    """The text of a page, with drawings and hints: a paragraph for each block, a line `| … | … |` for each row of a table.

    Code is in backticks.
    """
    reader = _Reader()
    reader.feed(html)
    return re.sub(r" *\n\s*", "\n\n", re.sub(r" +", " ", "".join(reader.said))).strip() + "\n"


def _around(text: str, found: "re.Match[str]") -> str:
    return " ".join(text[max(0, found.start() - 30) : found.end() + 30].split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._hidden = 0
        self._hint = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._hidden or tag in ("style", "script"):
            self._hidden += tag not in _EMPTY
        elif tag in (*_DATA, *_BREAKS):
            self.said.append("\n\n" + ("| " if tag in _DATA else ""))
        elif tag in ("td", "th", "br", "span"):
            self.said.append(" ")
        elif tag == "code":
            self.said.append("`")
        if not self._hidden and (hint := dict(attrs).get("title")):
            self._hint = f" ({hint})"

    def handle_endtag(self, tag: str) -> None:
        if self._hidden:
            self._hidden -= 1
            return
        self.said.append(f"`{self._hint}" if tag == "code" else self._hint)
        self._hint = ""
        if tag in ("td", "th"):
            self.said.append(" |")
        elif tag in ("table", "desc", *_BREAKS):
            self.said.append("\n\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.said.append(data.replace("\n", " "))
