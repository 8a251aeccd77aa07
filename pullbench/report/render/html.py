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
_BOX, _BOX_END = '<div class="pb output">', "</div>"
"""Around an output in a notebook: what the style sheet of `style` applies to."""


class Html(str):
    """Markup that is safe to show; Jupyter shows it as HTML, in a box that the notebook's style sheet applies to."""

    __slots__ = ()

    def _repr_html_(self) -> str | None:
        return f"{_BOX}{self}{_BOX_END}" if self else None

    def _ipython_display_(self) -> None:
        """Show nothing, and no `''`, for an empty text; IPython shows any other as HTML after this NotImplementedError."""
        if self:
            raise NotImplementedError


def unboxed(output: str) -> str:
    """An output of a notebook without its box: a page is one box as a whole."""
    if output.startswith(_BOX) and output.endswith(_BOX_END):
        return output.removeprefix(_BOX).removesuffix(_BOX_END)
    return output


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
    """The style sheet for a notebook that is run by hand: JupyterLab, VS Code or a page of nbconvert."""
    return tag("style", Html(notebook_css(css())))


_DARK = re.compile(r"@media \(prefers-color-scheme: dark\) \{\s*:root, \.pb \{(?P<colours>[^}]*)\}\s*\}")
_OWN = ":is(.pb, #pb)"
"""Selects what `.pb` selects, before any rule of Jupyter, as if it were an id."""


def notebook_css(sheet: str) -> str:
    """The style sheet of a page for outputs in a notebook, which has styles, a width and a theme of its own.

    It styles our outputs only, wins over Jupyter's rules for tables and lists, and is dark where the notebook's theme is dark.
    """
    dark = _DARK.search(sheet)
    colours = "" if dark is None else " ".join(dark["colours"].split())
    sheet = _DARK.sub("", sheet)
    sheet = re.sub(r"^\s*body \{[^}]*\}\n", "", sheet, flags=re.MULTILINE).replace(":root, .pb", ".pb")
    sheet = re.sub(r"\.pb(?![\w-])", _OWN, sheet)
    themed = "[data-jp-theme-light], .vscode-light, .vscode-dark"
    return f"""{sheet}
@media (prefers-color-scheme: dark) {{ body:not({themed}) {_OWN} {{ {colours} }} }}
:is(body[data-jp-theme-light="false"], body.vscode-dark) {_OWN} {{ {colours} }}
{_OWN}.output {{ max-width: none; margin: 0; padding: .25rem .25rem .75rem; background: var(--pb-ground); }}
:is({themed}) {_OWN}.output {{ background: none; }}
{_OWN} :is(h1, h2, h3) {{ font-weight: 700; }}
{_OWN} tr, {_OWN} tr:hover {{ background: none; }}
{_OWN} code {{ padding: 0; color: inherit; background: none; }}
{_OWN} :is(dt, dd) {{ float: none; width: auto; }}
{_OWN} dt {{ font-weight: 400; }}
{_OWN} .method dt {{ font-weight: 600; }}
"""


def css() -> str:
    """The style sheet of every page."""
    return Path(__file__).with_name("report.css").read_text(encoding="utf-8")
