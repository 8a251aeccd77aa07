"""From an executed notebook to one self-contained HTML page."""

import re
from pathlib import Path
from typing import Any

from pullbench.report.render.html import Html, tag

_HERE = Path(__file__).parent
_HIDDEN = {"remove_cell", "parameters", "injected-parameters"}


def style() -> Html:
    """The page's style sheet, for a notebook that is opened in Jupyter; the page has it in its head."""
    return tag("style", Html(css()))


def css() -> str:
    return (_HERE / "report.css").read_text(encoding="utf-8")


def page_of(notebook: Any, title: str) -> str:
    """The HTML of an executed notebook (an nbformat node): its markdown and its HTML outputs, without code.

    A section, a markdown cell with what follows it, is left out where it has nothing to show.
    """
    from nbconvert.exporters.templateexporter import TemplateExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    cells = [cell for cell in notebook.cells if not _HIDDEN & set(cell.metadata.get("tags", []))]
    notebook.cells = _with_content(cells)
    contents = _contents(notebook.cells)
    # Not HTMLExporter: it parses and rewrites the whole page to mend images that this one does not have.
    make: Any = TemplateExporter
    exporter = make(template_name="template", extra_template_basedirs=[str(_HERE)], template_extension=".html.j2")
    markdown = MarkdownWithMath(renderer=IPythonRenderer(escape=True, exclude_anchor_links=True))
    exporter.register_filter("markdown", markdown)
    first = next((index for index, cell in enumerate(notebook.cells) if cell.cell_type == "markdown"), -1)
    resources = {"title": title, "css": css(), "contents": contents, "contents_before": first}
    body, _ = exporter.from_notebook_node(notebook, resources=resources)
    return re.sub(r"\n\s*\n+", "\n", str(body))


def heading(source: str) -> str | None:
    """The first heading of a markdown cell."""
    found = re.search(r"^#+ +(.+?)\s*$", source, flags=re.MULTILINE)
    return found[1] if found else None


def _with_content(cells: list[Any]) -> list[Any]:
    sections: list[list[Any]] = [[]]
    for cell in cells:
        if cell.cell_type == "markdown":
            sections.append([])
        sections[-1].append(cell)
    return [cell for section in sections if any(map(_shows, section)) for cell in section]


def _shows(cell: Any) -> bool:
    outputs = cell.get("outputs", [])
    return any(output.get("data", {}).get("text/html") for output in outputs)


def _contents(cells: list[Any]) -> list[dict[str, str]]:
    """The sections' titles; each cell gets the id that its entry points to."""
    made = []
    for cell in cells:
        title = heading(cell.source) if cell.cell_type == "markdown" else None
        if title is not None:
            cell.metadata["id"] = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
            made.append({"id": cell.metadata["id"], "title": title})
    return made
