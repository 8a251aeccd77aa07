"""HTML that cannot be broken by what a registry says: text is escaped unless it is `Html` already.

A registry chooses image names, error texts and headers; so does whoever can push to it. Escaping keeps them from being
markup, and characters that only steer the display (controls, direction marks, zero-width) are written out by number.
"""

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIMIT = 240
"""Characters of one foreign text that are shown; the whole, up to TITLE_LIMIT, stands in its title."""
TITLE_LIMIT = 2_000
_STEERING = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}


class Html(str):
    """Markup that is safe to show; Jupyter shows it as HTML."""

    __slots__ = ()

    def _repr_html_(self) -> str | None:
        return str(self) or None


def visible(text: str) -> str:
    """Text whose steering characters are written out, `‹U+202E›`; tabs and line ends become spaces."""
    spaced = text.translate({0x09: " ", 0x0A: " ", 0x0D: " "})
    if spaced.isprintable():  # the whole of a long drawing at once; what it refuses is looked at letter by letter
        return spaced
    return "".join(f"‹U+{ord(c):04X}›" if unicodedata.category(c) in _STEERING else c for c in spaced)


def escape(content: object) -> Html:
    """`Html` as it is; anything else as harmless text."""
    if isinstance(content, Html):
        return content
    return Html(html.escape(visible(str(content)), quote=True))


def tag(name: str, *children: object, **attributes: object) -> Html:
    """One element. `class_` stands for class, `_` in a name for `-`; an attribute of None or False is left out."""
    written = ""
    for key, value in attributes.items():
        if value is not None and value is not False:
            label = key.rstrip("_").replace("_", "-")
            written += f" {label}" if value is True else f' {label}="{html.escape(visible(str(value)), quote=True)}"'
    return Html(f"<{name}{written}>{join(children)}</{name}>")


def join(parts: Iterable[object], separator: str = "") -> Html:
    """The parts one after the other, each escaped unless it is `Html`."""
    return Html(html.escape(separator).join(escape(part) for part in parts))


def shortened(text: str, limit: int = LIMIT) -> str:
    """Foreign text for a sentence of ours: visible, and at most `limit` characters."""
    whole = visible(text)
    return whole if len(whole) <= limit else whole[: limit - 1] + "…"


def clipped(text: object, limit: int = LIMIT) -> Html:
    """Foreign text of any length: at most `limit` characters, the rest in its title."""
    if isinstance(text, Html):
        return text
    whole = visible(str(text))
    if len(whole) <= limit:
        return tag("span", whole, class_="foreign")
    title = whole if len(whole) <= TITLE_LIMIT else whole[:TITLE_LIMIT] + f"… ({len(whole):,} characters)"
    return tag("span", shortened(whole, limit), class_="foreign", title=title)


def marked(text: str, limit: int = 400) -> Html:
    """A sentence of ours whose names stand in backticks, with those as code; what is longer is clipped as foreign text is."""
    if len(text) > limit:
        return clipped(text, limit)
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return tag("span", text, class_="foreign")
    return tag("span", *(tag("code", part) if at % 2 else part for at, part in enumerate(parts)), class_="foreign")


_DIGEST = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}(?![0-9a-f])")


def short_digests(text: str) -> Html | str:
    """Text whose digests are cut to 12 digits, the whole in their titles; text without any, or too long even so, as it is."""
    if len(_DIGEST.sub(r"\1…", text)) > LIMIT:
        return text
    parts, end = [], 0
    for found in _DIGEST.finditer(text):
        parts += [escape(text[end : found.start()]), tag("span", f"{found[1]}…", title=found[0], class_="digest")]
        end = found.end()
    return tag("span", *parts, escape(text[end:]), class_="foreign") if parts else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table: its heading, whether it holds numbers, sentences or settings' names, and what its title explains."""

    title: str
    number: bool = False
    prose: bool = False
    setting: bool = False
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row's contents, one a column, and its class: `best`, `failed`, `muted` or none."""

    contents: Sequence[object]
    kind: str | None = None


def table(columns: Sequence[Column], rows: Sequence[Row], *, caption: str) -> Html:
    """A table in a box of its own, which scrolls sideways where the screen is narrow."""
    head = join(tag("th", column.title, scope="col", class_=_kind(column), title=column.hint) for column in columns)
    body = join(tag("tr", join(_cells(columns, row.contents)), class_=row.kind) for row in rows)
    made = tag("table", tag("caption", caption), tag("thead", tag("tr", head)), tag("tbody", body))
    return tag("div", made, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _cells(columns: Sequence[Column], contents: Sequence[object]) -> Iterable[Html]:
    for column, content in zip(columns, contents, strict=True):
        yield tag("td", clipped(content), class_=_kind(column))


def _kind(column: Column) -> str | None:
    kinds = {"number": column.number, "prose": column.prose, "setting": column.setting}
    return next((kind for kind, given in kinds.items() if given), None)


def definitions(pairs: Iterable[tuple[str, object]]) -> Html:
    """Names and what they stand for, as a list."""
    return tag("dl", join(tag("div", tag("dt", name), tag("dd", clipped(value, 400))) for name, value in pairs))


def paragraph(*parts: Any, kind: str | None = None) -> Html:
    """One paragraph."""
    return tag("p", *parts, class_=kind)


def style() -> Html:
    """The page's style sheet, for a notebook that is opened in Jupyter; the page has it in its head."""
    return tag("style", Html(css()))


def css() -> str:
    """The style sheet of every page."""
    return Path(__file__).with_name("report.css").read_text(encoding="utf-8")
