"""The one look of all figures: SVG that takes its colours from the page, in a wide and a narrow drawing.

Matplotlib draws with stand-in colours; in the SVG they become `var(--pb-…)`, which the page sets for light and dark.
The fallback in each `var` is what a viewer without the page's CSS shows. Series colours are those of Okabe and Ito.
"""

import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from pullbench.report.render.html import Html, escape, tag, visible

INK, MUTED, GRID, PAPER, BAD = "#010203", "#040506", "#070809", "#0a0b0c", "#0d0e0f"
GOOD, WARN = "#101112", "#131415"
SERIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
MARKERS = ("o", "s", "^", "D", "v", "P")
CROSSES = (
    ("x", '<path d="M4.5 2.5l7 7m0-7l-7 7"/>'),
    ("+", '<path d="M8 1.5v9M3.5 6h9"/>'),
    ("1", '<path d="M8 6v4.5M8 6 4.2 3M8 6l3.8-3"/>'),
    ("2", '<path d="M8 6V1.5M8 6 4.2 9M8 6l3.8 3"/>'),
)
"""Marks of failures, each with its drawing for the key; all in the colour of what is bad."""
_VARIABLES = {
    INK: "currentColor",
    MUTED: "var(--pb-muted, #5c6470)",
    GRID: "var(--pb-grid, #c9ced6)",
    PAPER: "var(--pb-paper, #ffffff)",
    BAD: "var(--pb-bad, #c4281b)",
    GOOD: "var(--pb-good, #08734f)",
    WARN: "var(--pb-warn, #8a5300)",
} | {colour: f"var(--pb-series-{number}, {colour})" for number, colour in enumerate(SERIES, start=1)}
_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pullbench",
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "grid.alpha": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True, slots=True)
class Sheet:
    """The size to draw for: how wide, and whether it is the narrow drawing of a phone."""

    width_in: float
    narrow: bool
    font_pt: float

    def figure(self, height_in: float) -> Figure:
        """An empty figure on a clear ground."""
        made = Figure(figsize=(self.width_in, height_in), facecolor="none")
        FigureCanvasSVG(made)
        return made


WIDE = Sheet(9.2, False, 8.5)
NARROW = Sheet(3.9, True, 9.0)


def drawn(
    key: str,
    title: str,
    description: str,
    caption: str | Html,
    draw: Callable[[Sheet], Figure],
    *,
    legend: Html | None = None,
) -> Html:
    """A `<figure>` with both drawings; CSS shows the one that fits. `description` tells in words what is drawn."""
    images = [
        tag(
            "div",
            _svg(f"{key}-{name}", title, description, draw, sheet),
            class_=f"pb-{name}",
            hidden=sheet.narrow,
        )
        for name, sheet in (("wide", WIDE), ("narrow", NARROW))
    ]
    return tag(
        "figure", tag("div", escape(title), class_="figure-title"), legend or "", *images, tag("figcaption", caption)
    )


def legend(
    entries: Sequence[tuple[str, int | None]],
    *,
    marker: str | None = None,
    crosses: Sequence[tuple[str, int]] = (),
) -> Html:
    """The key of the series, as text that wraps: each label with the index of its colour and marker; None is grey.

    `crosses` are failures, each label with the index of its mark in CROSSES.
    """
    items = [tag("li", _swatch(index, marker), " ", label) for label, index in entries]
    items += [tag("li", _cross(index), " ", label) for label, index in crosses]
    return tag("ul", *items, class_="legend")


def series_style(index: int) -> tuple[str, str]:
    """Colour and marker of a series; past six they are used again with another pairing."""
    return SERIES[index % len(SERIES)], MARKERS[(index + index // len(SERIES)) % len(MARKERS)]


def bare(ax: Axes, *, grid_axis: str) -> None:
    """Grid lines along one axis only."""
    ax.grid(visible=False, axis="both", which="both")
    ax.grid(visible=True, axis=grid_axis)  # type: ignore[arg-type]


def _swatch(index: int | None, marker: str | None) -> Html:
    shapes = {
        "o": '<circle cx="8" cy="6" r="4"/>',
        "s": '<rect x="4.5" y="2.5" width="7" height="7"/>',
        "^": '<path d="M8 1.5 12.5 10h-9z"/>',
        "D": '<path d="M8 1 13 6 8 11 3 6z"/>',
        "v": '<path d="M8 10.5 3.5 2h9z"/>',
        "P": '<path d="M6.5 1.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z"/>',
    }
    colour, own = (MUTED, "s") if index is None else series_style(index)
    shape = shapes[marker or own]
    return Html(f'<svg viewBox="0 0 16 12" aria-hidden="true"><g fill="{_VARIABLES[colour]}">{shape}</g></svg>')


def _cross(index: int) -> Html:
    stroke = f'fill="none" stroke="{_VARIABLES[BAD]}" stroke-width="1.6"'
    return Html(f'<svg viewBox="0 0 16 12" aria-hidden="true"><g {stroke}>{CROSSES[index][1]}</g></svg>')


def _svg(key: str, title: str, description: str, draw: Callable[[Sheet], Figure], sheet: Sheet) -> Html:
    """One drawing as inline SVG: no prologue, ids of its own, colours of the page, a title and a description."""
    with mpl.rc_context(), warnings.catch_warnings():
        # The page's font draws the text; the one that measures it here may lack a name's letters.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        mpl.rcdefaults()
        mpl.rcParams.update(_RC | {"font.size": sheet.font_pt, "axes.titlesize": sheet.font_pt + 0.5})
        figure, written = draw(sheet), io.StringIO()
        _print(figure, written)
    # Names from outside stand in the text: what steers the display is written out there too.
    markup = visible(written.getvalue())
    markup = markup[markup.index("<svg") :]
    markup = re.sub(r"<metadata>.*?</metadata>", "", markup, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        markup = re.sub(re.escape(colour), variable, markup, flags=re.IGNORECASE)
    markup = re.sub(r"font-family: [^;\"]*;? ?", "", markup)
    markup = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", markup, count=1, flags=re.DOTALL)
    markup = re.sub(r'\bid="', f'id="{key}-', markup)
    markup = re.sub(r'(xlink:)?href="#', f'href="#{key}-', markup)
    markup = markup.replace("url(#", f"url(#{key}-")
    head = (
        f'<svg role="img" aria-labelledby="{key}-title {key}-desc" viewBox="{_view_box(markup)}" '
        f'xmlns="http://www.w3.org/2000/svg" font-family="{_FONTS}">'
        f'<title id="{key}-title">{escape(title)}</title><desc id="{key}-desc">{escape(description)}</desc>'
    )
    return Html(re.sub(r"^<svg.*?>", lambda _: head, markup, count=1, flags=re.DOTALL).strip())


def _print(figure: Figure, to: io.StringIO) -> None:
    """As `savefig` does, which would draw all of it twice: first of all to lay it out."""
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")
    for ax in figure.axes:
        ax.patch.set(facecolor="none", edgecolor="none")
    canvas: Any = figure.canvas
    canvas.print_svg(to, metadata={"Date": None, "Creator": None})


def _view_box(markup: str) -> str:
    found = re.search(r'viewBox="([^"]+)"', markup)
    assert found is not None, "matplotlib writes a viewBox"
    return found[1]
